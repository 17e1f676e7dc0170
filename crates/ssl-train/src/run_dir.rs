//! The directory of a run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TrainError;

/// The directory of a run: `metrics.jsonl`, `checkpoints/`, `encoder.safetensors`, and `recipe.toml` of a pretraining, or
/// `classifier.toml` and `classifier.safetensors` of a training with labels.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory of a new run.
    ///
    /// An empty directory is taken as new; with `overwrite`, the files that an earlier run wrote there are removed, and
    /// nothing else.
    ///
    /// # Errors
    /// [`TrainError::Exists`] if something is there and `overwrite` is not set.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, TrainError> {
        let run = Self { path: path.to_owned() };
        if path.exists() && !is_empty(path) {
            if !overwrite || !path.is_dir() {
                return Err(TrainError::Exists(path.to_owned()));
            }
            run.remove_run()?;
        }
        fs::create_dir_all(path).map_err(TrainError::io(path))?;
        Ok(run)
    }

    /// Opens the directory of a run that is to be resumed or evaluated.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] if there is none.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        match path.join("recipe.toml").is_file() {
            true => Ok(Self { path: path.to_owned() }),
            false => Err(TrainError::NoRun(path.to_owned())),
        }
    }

    /// Opens the directory of a training with labels.
    ///
    /// # Errors
    /// [`TrainError::NoClassifier`] if there is none.
    pub fn open_classifier(path: &Path) -> Result<Self, TrainError> {
        let run = Self { path: path.to_owned() };
        match run.classifier_record().is_file() {
            true => Ok(run),
            false => Err(TrainError::NoClassifier(path.to_owned())),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `recipe.toml`
    pub fn recipe(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// `metrics.jsonl`
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `checkpoints/`
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `encoder.safetensors`
    pub fn encoder(&self) -> PathBuf {
        self.path.join("encoder.safetensors")
    }

    /// `classifier.toml`
    pub fn classifier_record(&self) -> PathBuf {
        self.path.join("classifier.toml")
    }

    /// `classifier.safetensors`
    pub fn classifier(&self) -> PathBuf {
        self.path.join("classifier.safetensors")
    }

    /// Writes a file of the run, so that it is whole or not there.
    ///
    /// # Errors
    /// [`TrainError::Io`]
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, TrainError> {
        let path = self.path.join(name);
        ssl_files::write(&path, bytes).map_err(TrainError::io(&path))?;
        Ok(path)
    }

    fn remove_run(&self) -> Result<(), TrainError> {
        let of_classifier = [self.classifier_record(), self.classifier()];
        for file in [self.recipe(), self.metrics(), self.encoder()].into_iter().chain(of_classifier) {
            if file.exists() {
                fs::remove_file(&file).map_err(TrainError::io(&file))?;
            }
        }
        let checkpoints = self.checkpoints();
        if checkpoints.exists() {
            fs::remove_dir_all(&checkpoints).map_err(TrainError::io(&checkpoints))?;
        }
        Ok(())
    }
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_run_is_kept_unless_it_may_be_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = dir.path().join("run");
        let run = RunDir::create(&out, false).expect("nothing is there");
        run.write_atomic("recipe.toml", b"seed = 0").expect("writable");
        fs::write(out.join("notes.txt"), "mine").expect("writable");

        assert!(matches!(RunDir::create(&out, false), Err(TrainError::Exists(_))));
        assert!(out.join("recipe.toml").exists());
        RunDir::create(&out, true).expect("overwriting is allowed");
        assert!(!out.join("recipe.toml").exists() && out.join("notes.txt").exists());
    }

    #[test]
    fn a_file_in_the_place_of_a_run_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("run");
        fs::write(&file, "mine").expect("writable");
        assert!(matches!(RunDir::create(&file, true), Err(TrainError::Exists(_))));
        assert_eq!(fs::read(&file).expect("readable"), b"mine");
    }

    #[test]
    fn a_folder_without_a_recipe_is_no_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(RunDir::open(dir.path()), Err(TrainError::NoRun(_))));
    }
}
