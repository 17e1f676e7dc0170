//! Whether the images are those that a run started with.

use ssl_core::MethodRules;
use ssl_data::Dataset;
use ssl_files::escaped;
use xxhash_rust::xxh3::Xxh3;

use super::Run;
use crate::checkpoint::{DataMark, IntactCheckpoint};
use crate::{ChangedData, TrainError};

/// Files whose length is looked up when a run starts (our choice: a fraction of a second on a local disk). In larger sets,
/// they are spread over the set; all images are compared when they are read.
const SIZED: usize = 1 << 16;

impl DataMark {
    pub(super) fn of(data: &Dataset) -> Self {
        Self { images: data.len(), names: hex(&names(data)), sizes: hex(&sizes(data)) }
    }

    /// How the images differ from those that the run started with.
    fn difference(&self, before: &Self) -> Option<String> {
        if self.images != before.images {
            return Some(format!(
                "there are {} images, and the run started with {}",
                self.images, before.images
            ));
        }
        let what = if self.names != before.names {
            "other names, labels or another order"
        } else if self.sizes != before.sizes {
            "files of other lengths"
        } else {
            return None;
        };
        Some(format!("the images have {what} than when the run started"))
    }
}

/// A hash of names and labels. It leaves out what all names have in common, so that the images may be moved.
fn names(data: &Dataset) -> Xxh3 {
    let first = data.name(0);
    let (mut start, mut end) = (first.len(), first.len());
    for name in (1..data.len()).map(|index| data.name(index)) {
        let same = |(a, b): &(u8, u8)| a == b;
        start = start.min(first.bytes().zip(name.bytes()).take_while(same).count());
        end = end.min(first.bytes().rev().zip(name.bytes().rev()).take_while(same).count());
    }
    let mut hash = Xxh3::new();
    for index in 0..data.len() {
        let name = data.name(index);
        let own = name.as_bytes().get(start..name.len().saturating_sub(end)).unwrap_or_default();
        hash.update(own);
        let label = data.labels().and_then(|labels| labels.get(index)).map_or(i64::MIN, |&label| label);
        hash.update(&label.to_le_bytes());
    }
    hash
}

fn sizes(data: &Dataset) -> Xxh3 {
    let mut hash = Xxh3::new();
    for index in (0..data.len()).step_by(data.len().div_ceil(SIZED)) {
        hash.update(&data.file_len(index).unwrap_or_default().to_le_bytes());
    }
    hash
}

fn hex(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

/// The hashes of the images read so far, in the format of their file.
pub(super) fn hashes_of(data: &Dataset) -> Vec<u8> {
    data.content_hashes().into_iter().flat_map(u64::to_le_bytes).collect()
}

impl<M: MethodRules> Run<'_, M> {
    /// Whether the run can continue from a checkpoint with these images.
    pub(in crate::trainer) fn check_fits(
        &self,
        checkpoint: &IntactCheckpoint,
        data: &Dataset,
    ) -> Result<(), TrainError> {
        let refuses = self.trainer.changed_data == ChangedData::Refuse;
        let there = checkpoint.meta().data.as_ref().filter(|_| refuses);
        if let Some(found) = there.and_then(|there| self.data.difference(there)) {
            return Err(TrainError::ChangedData(found));
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
                escaped(&data.name(index))
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images in a folder, from names and lengths; they need not be images to be listed.
    fn mark(folder: &std::path::Path, files: &[(&str, usize)]) -> DataMark {
        let _ = ssl_files::remove_folder(folder);
        for (name, len) in files {
            ssl_files::write(&folder.join(name), &vec![0; *len]).expect("writable");
        }
        DataMark::of(&Dataset::open(folder).expect("names of images"))
    }

    #[test]
    fn a_set_is_known_by_its_names_labels_and_lengths_wherever_it_lies() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let here = |files: &[(&str, usize)]| mark(&dir.path().join("a"), files);
        let first = here(&[("x/1.png", 10), ("x/2.png", 20), ("y/3.png", 30)]);
        let moved =
            mark(&dir.path().join("elsewhere/b"), &[("x/1.png", 10), ("x/2.png", 20), ("y/3.png", 30)]);
        assert_eq!(moved.difference(&first), None);
        for (files, found) in [
            (&[("x/1.png", 10), ("x/2.png", 20)][..], "there are 2 images, and the run started with 3"),
            (&[("x/1.png", 10), ("x/2.png", 20), ("y/4.png", 30)], "the images have other names"),
            (&[("x/1.png", 10), ("x/2.png", 20), ("x/3.png", 30)], "the images have other names"),
            (&[("x/1.png", 10), ("y/2.png", 20), ("y/3.png", 30)], "the images have other names"),
            (&[("x/1.png", 10), ("x/2.png", 21), ("y/3.png", 30)], "the images have files of other lengths"),
        ] {
            let difference = here(files).difference(&first).expect("it differs");
            assert!(difference.starts_with(found), "{difference}");
        }
    }
}
