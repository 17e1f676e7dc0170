//! Parallel jobs on the threads of a backend.
//!
//! Not always rayon's threads: libtorch's workers spin for milliseconds after each of its operations, and a second set
//! of threads would compete with them for the processor.

use std::sync::{Mutex, PoisonError};

use super::Host;

/// Runs `work` on all `jobs`.
pub(super) fn each<B: Host, J: Send>(jobs: impl IntoIterator<Item = J>, work: impl Fn(J) + Sync) {
    map::<B, J, ()>(jobs, work);
}

/// The results of `work` on all `jobs`, in order.
pub(super) fn map<B: Host, J: Send, O: Send>(
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> O + Sync,
) -> Vec<O> {
    let slots: Vec<_> = jobs.into_iter().map(|job| Mutex::new(Slot::Job(job))).collect();
    B::parallel(slots.len(), &|index| {
        let mut slot = slots[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Job(job) = std::mem::replace(&mut *slot, Slot::Empty) {
            *slot = Slot::Result(work(job));
        }
    });
    let result = |slot: Mutex<Slot<J, O>>| match slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Slot::Result(result) => result,
        _ => unreachable!("`parallel` calls once for each index"),
    };
    slots.into_iter().map(result).collect()
}

/// A job that is still to be done, or its result.
enum Slot<J, O> {
    Job(J),
    Empty,
    Result(O),
}
