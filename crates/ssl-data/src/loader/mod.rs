//! Decoded images to ordered batches of views, in worker threads.

mod batch;
mod eval;
mod order;
mod pipeline;
mod train;
mod workers;

pub use self::{
    batch::{Batch, ViewBatch},
    eval::EvalLoader,
    order::epoch_order,
    pipeline::Batches,
    train::TrainLoader,
};
use crate::DataError;

/// Threads of a loader at most (our choice: more than any machine has cores for, and few enough to start at once).
pub const MAX_WORKERS: usize = 1024;

/// What a loader needs to know besides the images and the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Images in a batch, at least 1.
    pub batch_size: usize,
    /// Threads that decode and augment, 1 to [`MAX_WORKERS`]. The batches do not depend on it.
    pub workers: usize,
}

impl LoaderConfig {
    fn validate(&self) -> Result<(), DataError> {
        for (field, value) in [("batch_size", self.batch_size), ("workers", self.workers)] {
            if value == 0 {
                return Err(DataError::Zero { field });
            }
        }
        if self.workers > MAX_WORKERS {
            return Err(DataError::TooMany { field: "workers", value: self.workers, most: MAX_WORKERS });
        }
        Ok(())
    }
}
