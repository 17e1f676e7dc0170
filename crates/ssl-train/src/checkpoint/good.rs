//! The checkpoint from before what looks like a collapse.

use super::intact::meta_of;
use super::{Checkpoints, copy_files};
use crate::TrainError;

/// The folder of that checkpoint.
pub(super) const GOOD: &str = "last-good";

impl Checkpoints {
    /// Copies `last`, which is about to be replaced, to `last-good`, if it is from before step `since`, the first that looks like a
    /// collapse.
    pub(super) fn keep_good(&self, since: u64) -> Result<(), TrainError> {
        let (last, good) = (self.path("last"), self.path(GOOD));
        if meta_of(&last).is_ok_and(|meta| meta.step < since) {
            ssl_files::write_folder(&good, |folder| copy_files(&last, folder))
                .map_err(TrainError::io(good))?;
        }
        Ok(())
    }

    /// Removes `last-good`, since `last` is good again.
    pub(super) fn forget_good(&self) -> Result<(), TrainError> {
        for ending in ["", ".old", ".tmp"] {
            let folder = self.path(&format!("{GOOD}{ending}"));
            ssl_files::remove_folder(&folder).map_err(TrainError::io(folder))?;
        }
        Ok(())
    }
}
