//! The checkpoint from before what looks like a collapse.

use std::path::PathBuf;

use tracing::warn;

use super::intact::checked;
use super::{Checkpoints, copy_files};
use crate::TrainError;

/// The folder of that checkpoint.
pub(super) const GOOD: &str = "last-good";

impl Checkpoints {
    /// Copies `last`, which is about to be replaced, to `last-good`, if it is from before step `since`, the first that looks like a
    /// collapse. One that is there already is older, and stays. Most suspicions pass, so a failure is no more than a warning.
    pub(super) fn keep_good(&self, since: u64) {
        let good = self.path(GOOD);
        if checked(&good).is_ok() {
            return;
        }
        // A crash may have left only the one from before.
        let is_before = |folder: &PathBuf| checked(folder).is_ok_and(|meta| meta.step < since);
        let Some(last) = ["last", "last.old"].map(|name| self.path(name)).into_iter().find(is_before) else {
            return;
        };
        if let Err(error) = ssl_files::write_folder(&good, |folder| copy_files(&last, folder)) {
            warn!(
                "the checkpoint from before what looks like a collapse is not kept: {}: {error}",
                good.display()
            );
        }
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
