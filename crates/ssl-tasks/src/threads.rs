//! Reading images on several threads.

use std::thread;

use crate::preparation::worker_threads;

/// What `read` makes of each place, in order; `workers` are the threads, 0 means one per core.
pub(crate) fn in_threads<T: Send>(
    places: &[usize],
    workers: usize,
    read: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let each = places.len().div_ceil(worker_threads(workers).max(1)).max(1);
    let read = &read;
    thread::scope(|scope| {
        let part = |places: &'_ [usize]| places.iter().map(|&place| read(place)).collect::<Vec<T>>();
        let parts: Vec<_> = places.chunks(each).map(|places| scope.spawn(move || part(places))).collect();
        // A panic goes on in the thread that waits, as if there were one thread.
        let parts = parts
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        parts.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        let places: Vec<usize> = (0..23).collect();
        for workers in [1, 2, 5, 40] {
            assert_eq!(
                in_threads(&places, workers, |place| 2 * place),
                (0..46).step_by(2).collect::<Vec<_>>()
            );
        }
        assert!(in_threads(&[], 3, |place| place).is_empty());
    }
}
