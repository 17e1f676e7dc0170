//! Who does which job.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `job` once for every index below `count`, on rayon's threads.
pub(in crate::ops) fn on_rayon(count: usize, job: &(dyn Fn(usize) + Sync)) {
    let workers = rayon::current_num_threads().min(count);
    if workers < 2 {
        return (0..count).for_each(job);
    }
    let shares = Shares::new(count, workers);
    let work = || shares.of(rayon::current_thread_index().unwrap_or_default()).for_each(job);
    rayon::scope(|scope| {
        (1..workers).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}

/// Indices that are divided among workers: neighbours to the same one. A worker of the same number finds its part of the memory in
/// its cache from one operation to the next. Whoever has finished takes from the others.
pub(in crate::ops) struct Shares(Vec<Share>);

/// The next index, and the end. Each has a cache line of its own.
#[repr(align(64))]
struct Share {
    next: AtomicUsize,
    end: usize,
}

impl Shares {
    /// The indices below `count`.
    pub(in crate::ops) fn new(count: usize, workers: usize) -> Self {
        let start = |worker: usize| worker * count / workers;
        let share = |worker| Share { next: AtomicUsize::new(start(worker)), end: start(worker + 1) };
        Self((0..workers).map(share).collect())
    }

    /// The indices that are left for a worker, its own first.
    pub(in crate::ops) fn of(&self, worker: usize) -> impl Iterator<Item = usize> + '_ {
        let worker = worker % self.0.len();
        let (before, from) = self.0.split_at(worker);
        from.iter().chain(before).flat_map(Share::taken)
    }
}

impl Share {
    fn taken(&self) -> impl Iterator<Item = usize> + '_ {
        let next = || self.next.fetch_add(1, Ordering::Relaxed);
        std::iter::repeat_with(next).take_while(|index| *index < self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_its_own_share_and_then_those_of_the_others() {
        let shares = Shares::new(7, 3);
        assert_eq!(shares.of(1).take(2).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(shares.of(5).collect::<Vec<_>>(), [4, 5, 6, 0, 1], "worker 5 of 3 is worker 2");
        assert_eq!(shares.of(0).count(), 0);
    }

    #[test]
    fn every_index_is_taken_once() {
        let shares = Shares::new(1000, 4);
        let shares = &shares;
        let taken: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let take = |worker| scope.spawn(move || shares.of(worker).collect());
            let workers: Vec<_> = (0..4).map(take).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
        });
        let mut taken = taken.concat();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..1000));
    }
}
