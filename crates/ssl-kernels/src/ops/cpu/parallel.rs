//! Work in pieces, on the threads of a backend.
//!
//! A backend's own threads and not always rayon's: libtorch's workers spin for milliseconds after each of its operations,
//! and a second set of threads would share the processor with them.

use std::sync::{Mutex, PoisonError};

use super::Host;

/// Does `work` for all `jobs`.
pub(super) fn each<B: Host, J: Send>(jobs: impl IntoIterator<Item = J>, work: impl Fn(J) + Sync) {
    map::<B, J, ()>(jobs, work);
}

/// What `work` makes of all `jobs`, in their order.
pub(super) fn map<B: Host, J: Send, O: Send>(
    jobs: impl IntoIterator<Item = J>,
    work: impl Fn(J) -> O + Sync,
) -> Vec<O> {
    let places: Vec<_> = jobs.into_iter().map(|job| Mutex::new(Place::Job(job))).collect();
    B::parallel(places.len(), &|index| {
        let mut place = places[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Job(job) = std::mem::replace(&mut *place, Place::Empty) {
            *place = Place::Result(work(job));
        }
    });
    let result = |place: Mutex<Place<J, O>>| match place.into_inner().unwrap_or_else(PoisonError::into_inner)
    {
        Place::Result(result) => result,
        _ => unreachable!("`parallel` calls once for each index"),
    };
    places.into_iter().map(result).collect()
}

enum Place<J, O> {
    Job(J),
    Empty,
    Result(O),
}
