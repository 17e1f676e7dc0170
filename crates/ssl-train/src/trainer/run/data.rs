//! Whether the images are those that a run started with.

use ssl_core::MethodRules;
use ssl_data::Dataset;
use xxhash_rust::xxh3::Xxh3;

use super::Run;
use crate::checkpoint::{DataMark, IntactCheckpoint};
use crate::{ChangedData, TrainError};

impl DataMark {
    /// The mark of a data set. A name counts without the folders before it, so that images may be moved.
    pub(super) fn of(data: &Dataset) -> Self {
        let mut hash = Xxh3::new();
        for index in 0..data.len() {
            let name = data.name(index);
            let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
            hash.update(name.as_bytes());
            hash.update(&[0]);
            let label = data.labels().and_then(|labels| labels.get(index)).map_or(i64::MIN, |&label| label);
            hash.update(&label.to_le_bytes());
        }
        Self { images: data.len(), names: format!("{:016x}", hash.digest()) }
    }
}

/// The hashes of the images read so far, as a file holds them.
pub(super) fn hashes_of(data: &Dataset) -> Vec<u8> {
    data.content_hashes().into_iter().flat_map(u64::to_le_bytes).collect()
}

impl<M: MethodRules> Run<'_, M> {
    /// Whether the run can go on from a checkpoint with these images.
    pub(super) fn check_fits(&self, checkpoint: &IntactCheckpoint, data: &Dataset) -> Result<(), TrainError> {
        let refuses = self.trainer.changed_data == ChangedData::Refuse;
        if let Some(there) = checkpoint.meta().data.as_ref().filter(|_| refuses) {
            let (before, now) = (there.images, self.data.images);
            if before != now {
                let found = format!("there are {now} images, and the run started with {before}");
                return Err(TrainError::ChangedData(found));
            }
            if *there != self.data {
                let found = "the images have other names, labels or another order than when the run started";
                return Err(TrainError::ChangedData(found.to_owned()));
            }
        }
        let (there, here) = (checkpoint.steps_per_epoch(), self.at.steps_per_epoch);
        let (step, total) = (checkpoint.step(), self.at.total_steps);
        let path = checkpoint.folder().to_owned();
        if there != here {
            return Err(TrainError::StepsPerEpoch { path, there, here });
        }
        if step > total {
            return Err(TrainError::PastTheEnd { path, step, total });
        }
        if refuses {
            data.expect_contents(&checkpoint.image_hashes()?);
            self.check_unchanged(data)?;
        }
        Ok(())
    }

    /// Whether all images read so far are as they were when they were first read.
    pub(super) fn check_unchanged(&self, data: &Dataset) -> Result<(), TrainError> {
        match data.changed_image().filter(|_| self.trainer.changed_data == ChangedData::Refuse) {
            Some(index) => Err(TrainError::ChangedData(format!(
                "{} is not the image that it was when the run first read it",
                data.name(index)
            ))),
            None => Ok(()),
        }
    }
}
