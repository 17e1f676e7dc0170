//! Parallel jobs on the threads that libtorch's own operations use.

#![allow(unsafe_code)] // a function of another library's runtime

use std::sync::OnceLock;

use crate::ops::cpu::shares::on_rayon;

/// Calls `job` once for every index below `count`, on libtorch's threads if available, otherwise on rayon's.
pub(super) fn parallel(count: usize, job: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).min(count);
    if threads < 2 {
        return (0..count).for_each(job);
    }
    static TEAM: OnceLock<Option<openmp::Team>> = OnceLock::new();
    match TEAM.get_or_init(openmp::Team::find) {
        Some(team) => team.share(threads, count, job),
        None => on_rayon(count, job),
    }
}

/// The OpenMP runtime that libtorch brings along.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod openmp {
    use std::any::Any;
    use std::ffi::{c_uint, c_void};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use crate::ops::cpu::shares::Shares;

    type Body = extern "C" fn(*mut c_void);

    /// `GOMP_parallel` of libgomp, which LLVM's runtime also provides: what `#pragma omp parallel` compiles to. It runs
    /// the body on every thread of a team, including the calling one, and returns when all are done.
    pub(super) struct Team(Parallel);

    type Parallel = unsafe extern "C" fn(Body, *mut c_void, c_uint, c_uint);

    struct Work<'a> {
        shares: Shares,
        /// Threads that have begun.
        workers: AtomicUsize,
        job: &'a (dyn Fn(usize) + Sync),
        panic: Mutex<Option<Box<dyn Any + Send>>>,
    }

    impl Team {
        /// Looks the function up in the libraries of this process.
        pub(super) fn find() -> Option<Self> {
            // SAFETY: the name is null-terminated.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
            // SAFETY: a function of that name has had this signature since GCC 4.9.
            (!address.is_null())
                .then(|| Self(unsafe { std::mem::transmute::<*mut c_void, Parallel>(address) }))
        }

        /// Distributes the indices.
        pub(super) fn share(&self, threads: usize, count: usize, job: &(dyn Fn(usize) + Sync)) {
            let work = Work {
                shares: Shares::new(count, threads),
                workers: AtomicUsize::new(0),
                job,
                panic: Mutex::new(None),
            };
            // SAFETY: `work` outlives the call, which returns when all threads are done, and they only read it.
            unsafe { (self.0)(body, (&raw const work).cast_mut().cast(), threads as c_uint, 0) };
            if let Some(panic) = work.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
                resume_unwind(panic);
            }
        }
    }

    extern "C" fn body(work: *mut c_void) {
        // SAFETY: the address passed by `share`.
        let work = unsafe { &*work.cast::<Work<'_>>() };
        // A panic must not unwind through the runtime's frames.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let worker = work.workers.fetch_add(1, Ordering::Relaxed);
            work.shares.of(worker).for_each(work.job);
        }));
        if let Err(panic) = done {
            *work.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }
}

/// Not tried on other platforms.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod openmp {
    pub(super) enum Team {}

    impl Team {
        pub(super) fn find() -> Option<Self> {
            None
        }

        pub(super) fn share(&self, _threads: usize, _count: usize, _job: &(dyn Fn(usize) + Sync)) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn calls_of_each(count: usize, share: &impl Fn(usize, &(dyn Fn(usize) + Sync))) -> Vec<usize> {
        let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        share(count, &|index| {
            calls[index].fetch_add(1, Ordering::Relaxed);
        });
        calls.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_index_comes_once() {
        for count in [0, 1, 2, 1000] {
            assert_eq!(calls_of_each(count, &parallel), vec![1; count]);
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn team() -> openmp::Team {
        assert!(tch::get_num_threads() > 0, "libtorch is loaded");
        openmp::Team::find().expect("libtorch brings it along")
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_team_shares_all_indices_also_inside_of_another_and_beside_it() {
        let (team, sum) = (team(), AtomicUsize::new(0));
        let share = |count: usize, job: &(dyn Fn(usize) + Sync)| team.share(3, count, job);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(calls_of_each(1000, &share), [1; 1000]));
            }
        });
        share(5, &|_| {
            sum.fetch_add(calls_of_each(100, &share).len(), Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 500);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_panic_reaches_the_caller() {
        let team = team();
        let fails = AssertUnwindSafe(|| team.share(3, 64, &|index| assert_ne!(index, 17, "the unlucky one")));
        assert!(catch_unwind(fails).is_err());
        let share = |count: usize, job: &(dyn Fn(usize) + Sync)| team.share(3, count, job);
        assert_eq!(calls_of_each(64, &share), [1; 64]);
    }
}
