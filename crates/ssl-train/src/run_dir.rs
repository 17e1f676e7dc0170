//! The directory of a run.

mod leftovers;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::TrainError;
use crate::events;
use crate::lock::{LOCK, RunLock};
pub(crate) use leftovers::{remove_empty, remove_file};

/// The directory of a run: `metrics.jsonl`, `tensorboard/`, `checkpoints/`, `encoder.safetensors`, and `recipe.toml` and
/// `report.html` of a pretraining run, or `classifier.toml` and `classifier.safetensors` of a training run with labels. Whoever
/// writes it holds a lock on `run.lock`.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
    /// `None` where the directory is only read.
    lock: Option<Arc<RunLock>>,
}

/// What to do with an earlier run in the directory of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// The directory is an error.
    #[default]
    Refuse,
    /// The files that the run wrote are removed, and nothing else.
    Replace,
}

impl RunDir {
    /// Creates the directory of a new run, and locks it as long as the value or a clone of it lives. An empty directory
    /// counts as new.
    ///
    /// # Errors
    /// [`TrainError::Exists`] if the directory has files that are not to be replaced, [`TrainError::NotARun`] if they are but
    /// no run wrote them, [`TrainError::Running`] if another process is writing to the directory.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, TrainError> {
        // Read before locking: on Windows, a locked file cannot be read.
        let of_a_run = leftovers::has_record(path);
        // Nothing may be written into a directory that is not ours.
        let known = if path.join(LOCK).is_file() { Some(RunLock::take(path)?) } else { None };
        leftovers::check(path, existing, of_a_run)?;
        ssl_files::make_folder(path).map_err(TrainError::io(path))?;
        let mut lock = match known {
            Some(lock) => lock,
            None => {
                let lock = RunLock::take(path)?;
                // Another process may have been quicker and finished already.
                leftovers::check(path, existing, of_a_run)?;
                lock
            }
        };
        lock.sign()?;
        leftovers::remove(path)?;
        Ok(Self { path: path.to_owned(), lock: Some(Arc::new(lock)) })
    }

    /// Locks the directory as long as the value or a clone of it lives, to resume the run in it.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] or [`TrainError::NoClassifier`] if no run wrote the directory, [`TrainError::Running`] if another
    /// process is writing to it.
    pub fn locked(self) -> Result<Self, TrainError> {
        if !leftovers::has_record(&self.path) {
            let is_classifier = self.classifier_record().is_file();
            let error = if is_classifier { TrainError::NoClassifier } else { TrainError::NoRun };
            return Err(error(self.path));
        }
        let mut lock = RunLock::take(&self.path)?;
        lock.sign()?;
        Ok(Self { lock: Some(Arc::new(lock)), ..self })
    }

    /// A directory that nothing is written to, and that need not exist: see [`Trainer::rehearse`](crate::Trainer::rehearse).
    pub fn unwritten(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Fails where [`create`](Self::create) would because of what is there; nothing is written.
    ///
    /// # Errors
    /// [`TrainError::Exists`] and [`TrainError::NotARun`].
    pub fn check_new(path: &Path, existing: Existing) -> Result<(), TrainError> {
        leftovers::check(path, existing, leftovers::has_record(path))
    }

    /// Whether a process is writing to the directory at the moment.
    pub fn is_running(&self) -> bool {
        RunLock::is_held(&self.path)
    }

    /// Fails if the directory has been removed or replaced since it was locked.
    ///
    /// # Errors
    /// [`TrainError::Gone`]
    pub fn check_there(&self) -> Result<(), TrainError> {
        let there = self.lock.as_ref().map_or_else(|| self.path.is_dir(), |lock| lock.is_there());
        if there { Ok(()) } else { Err(TrainError::Gone(self.path.clone())) }
    }

    /// Opens the directory of a run that is to be resumed or evaluated.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] if there is none.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        match path.join("recipe.toml").is_file() {
            true => Ok(Self { path: path.to_owned(), lock: None }),
            false => Err(TrainError::NoRun(path.to_owned())),
        }
    }

    /// Opens the directory of a training run with labels.
    ///
    /// # Errors
    /// [`TrainError::NoClassifier`] if there is none.
    pub fn open_classifier(path: &Path) -> Result<Self, TrainError> {
        let run = Self { path: path.to_owned(), lock: None };
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

    /// `tensorboard/`, with the rows of `metrics.jsonl` as event files.
    pub fn events(&self) -> PathBuf {
        events::of_run(&self.metrics())
    }

    /// `report.html`
    pub fn report(&self) -> PathBuf {
        self.path.join(leftovers::REPORT)
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

    /// Renames `encoder.safetensors`, if it is there, to `encoder.step-N.safetensors`, and returns the new path: the run is to go
    /// on after step `step`.
    ///
    /// # Errors
    /// [`TrainError::Io`]
    pub fn set_encoder_aside(&self, step: u64) -> Result<Option<PathBuf>, TrainError> {
        let (from, to) = (self.encoder(), self.path.join(leftovers::earlier_encoder(step)));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            renamed => renamed.map(|()| Some(to)).map_err(TrainError::io(from)),
        }
    }

    /// Writes a file of the run atomically.
    ///
    /// # Errors
    /// [`TrainError::Io`]
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, TrainError> {
        let path = self.path.join(name);
        ssl_files::write(&path, bytes).map_err(TrainError::io(&path))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_run_is_kept_unless_it_may_be_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = dir.path().join("run");
        let run = RunDir::create(&out, Existing::Refuse).expect("nothing is there");
        run.write_atomic("recipe.toml", b"seed = 0").expect("writable");
        fs::write(out.join("notes.txt"), "mine").expect("writable");
        assert!(matches!(RunDir::create(&out, Existing::Replace), Err(TrainError::Running { .. })));
        drop(run);

        assert!(matches!(RunDir::create(&out, Existing::Refuse), Err(TrainError::Exists(_))));
        assert!(out.join("recipe.toml").exists());
        RunDir::create(&out, Existing::Replace).expect("overwriting is allowed");
        assert!(!out.join("recipe.toml").exists() && out.join("notes.txt").exists());
    }

    #[test]
    fn a_file_in_the_place_of_a_run_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("run");
        fs::write(&file, "mine").expect("writable");
        assert!(matches!(RunDir::create(&file, Existing::Replace), Err(TrainError::Exists(_))));
        assert_eq!(fs::read(&file).expect("readable"), b"mine");
    }

    #[test]
    fn a_folder_without_a_recipe_is_no_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(RunDir::open(dir.path()), Err(TrainError::NoRun(_))));
    }

    #[test]
    fn what_a_killed_process_left_of_a_new_run_blocks_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("recipe.toml.tmp"), "half").expect("writable");
        drop(RunDir::create(dir.path(), Existing::Refuse).expect("nothing of a run is there"));
        RunDir::create(dir.path(), Existing::Refuse).expect("nothing of a run is there");
    }

    #[test]
    fn only_what_a_run_wrote_is_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = dir.path().join("run");
        let run = RunDir::create(&out, Existing::Refuse).expect("nothing is there");
        for name in ["recipe.toml", "metrics.jsonl", "encoder.safetensors", "checkpoints/last/meta.json"] {
            run.write_atomic(name, b"").expect("writable");
        }
        let of_tensorboard = format!("{}/events.out.tfevents.1.host.2.burn-ssl", run.events().display());
        ssl_files::write(of_tensorboard.as_ref(), b"").expect("writable");
        for name in ["checkpoints/step-7/student.safetensors", "checkpoints/last.damaged-1/meta.json"] {
            run.write_atomic(name, b"").expect("writable");
        }
        drop(run);
        let mine =
            ["checkpoints/thesis.txt", "checkpoints/step-7/notes.txt", "checkpoints/step-best/meta.json"];
        for name in mine {
            ssl_files::write(&out.join(name), b"mine").expect("writable");
        }
        drop(RunDir::create(&out, Existing::Replace).expect("a run is there"));
        assert!(mine.iter().all(|name| out.join(name).exists()), "files of the user are gone");
        let gone = ["recipe.toml", "metrics.jsonl", "encoder.safetensors", "checkpoints/last"];
        assert!(gone.iter().all(|name| !out.join(name).exists()));
        assert!(!out.join("checkpoints/step-7/student.safetensors").exists());
        assert!(!out.join("checkpoints/last.damaged-1").exists());
        assert!(!out.join("tensorboard").exists(), "a folder that is left empty goes too");
    }

    #[test]
    fn a_folder_that_no_run_wrote_is_not_overwritten() {
        let names = [
            "checkpoints/thesis.txt",
            "encoder.safetensors",
            "encoder.step-4.safetensors",
            "recipe.toml",
            "views.png",
        ];
        for name in names {
            let dir = tempfile::tempdir().expect("a temporary folder");
            ssl_files::write(&dir.path().join(name), b"mine").expect("writable");
            assert!(
                matches!(RunDir::create(dir.path(), Existing::Replace), Err(TrainError::NotARun(_))),
                "{name}"
            );
            let names = fs::read_dir(dir.path()).expect("a folder").count();
            assert!(names == 1 && dir.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_refused_attempt_does_not_make_a_folder_that_of_a_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mine = [LOCK, "recipe.toml", "encoder.safetensors", "checkpoints/thesis.txt"];
        for name in mine {
            ssl_files::write(&dir.path().join(name), b"mine").expect("writable");
        }
        for _ in 0..2 {
            let taken = RunDir::create(dir.path(), Existing::Replace);
            assert!(matches!(taken, Err(TrainError::NotARun(_))));
            let resumed = RunDir::open(dir.path()).expect("a recipe is there").locked();
            assert!(matches!(resumed, Err(TrainError::NoRun(_))));
        }
        let is_mine = |name: &&str| fs::read(dir.path().join(name)).is_ok_and(|bytes| bytes == b"mine");
        assert!(mine.iter().all(is_mine));
    }

    #[test]
    fn a_copy_of_a_run_is_known_by_any_of_its_checkpoints() {
        for name in ["last", "last.old", "step-7", "last-good"] {
            let dir = tempfile::tempdir().expect("a temporary folder");
            for name in ["recipe.toml", &format!("checkpoints/{name}/meta.json")] {
                ssl_files::write(&dir.path().join(name), b"").expect("writable");
            }
            RunDir::open(dir.path()).and_then(RunDir::locked).expect("a run");
        }
    }

    #[test]
    fn a_run_of_an_earlier_version_is_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["recipe.toml", "metrics.jsonl", "checkpoints/last/meta.json"] {
            ssl_files::write(&dir.path().join(name), b"").expect("writable");
        }
        let _run = RunDir::create(dir.path(), Existing::Replace).expect("a run");
        let names =
            fs::read_dir(dir.path()).expect("a folder").map(|entry| entry.expect("readable").file_name());
        assert_eq!(names.collect::<Vec<_>>(), [LOCK]);
    }

    #[test]
    fn a_directory_that_was_removed_is_missed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(&dir.path().join("run"), Existing::Refuse).expect("nothing is there");
        run.check_there().expect("it is there");
        fs::remove_dir_all(run.path()).expect("removable");
        assert!(matches!(run.check_there(), Err(TrainError::Gone(_))));
    }
}
