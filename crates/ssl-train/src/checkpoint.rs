//! Checkpoints: all that a run needs to go on as if nothing had happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, named, setters};

use crate::{Optimizer, RunDir, TrainError};

/// When checkpoints are written: the `[checkpoint]` section of a recipe. The end of a run always writes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints, besides those of `every_epochs`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<u64>,
    /// Epochs between two checkpoints; 0 writes none. Default 1: at most one epoch is lost (our choice).
    pub every_epochs: u64,
    /// How many checkpoints stay as `step-N` besides `last`. Default 0.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_steps: None, every_epochs: 1, keep: 0 }
    }
}

setters!(CheckpointConfig {
    with_every_steps: every_steps = Option<u64>,
    with_every_epochs: every_epochs = u64,
    with_keep: keep = usize,
});

impl CheckpointConfig {
    /// # Errors
    /// The first field whose value no run could use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let expected = "at least 1; without the key, only every_epochs counts";
        ConfigError::check(self.every_steps != Some(0), "checkpoint.every_steps", 0, expected)
    }

    /// Whether a checkpoint is due after `step` steps.
    pub(crate) fn is_due(&self, step: u64, steps_per_epoch: u64) -> bool {
        let every = |n: u64| n > 0 && step.is_multiple_of(n);
        self.every_steps.is_some_and(every) || every(self.every_epochs * steps_per_epoch)
    }
}

/// What a checkpoint says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps of an epoch; another number means other data or another batch.
    pub(crate) steps_per_epoch: u64,
    /// Sum of the losses of the epoch so far, and their number.
    pub(crate) epoch_loss: (f64, u64),
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// k-NN and other figures from before the first step.
    pub(crate) untrained: Vec<(String, f64)>,
}

/// The checkpoints of a run.
///
/// A checkpoint is a folder of `student`, `state` and `optimizer` (`.safetensors`) and `meta.json`. One of `last` and `last.old`
/// is whole at any moment, see [`ssl_files::write_folder`].
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub(crate) fn of(run: &RunDir) -> Self {
        Self { folder: run.checkpoints() }
    }

    /// Writes a checkpoint as `last`, and as `step-N` if it is to be kept.
    pub(crate) fn save<S: Module, T: Module>(
        &self,
        student: &S,
        state: &T,
        optimizer: &Optimizer,
        meta: &Meta,
        keep: usize,
    ) -> Result<(), TrainError> {
        let last = self.path("last");
        let files = |folder: &Path| {
            write_tensors(&folder.join("student.safetensors"), &named::collect(student))?;
            write_tensors(&folder.join("state.safetensors"), &named::collect(state))?;
            write_tensors(&folder.join("optimizer.safetensors"), &optimizer.state())?;
            let json = serde_json::to_vec_pretty(meta).expect("numbers and names are valid JSON");
            ssl_files::write(&folder.join("meta.json"), &json)
        };
        ssl_files::write_folder(&last, files).map_err(TrainError::io(last))?;
        self.keep(meta.step, keep)
    }

    /// What the newest whole checkpoint says, if there is one.
    pub(crate) fn newest(&self) -> Result<Option<(PathBuf, Meta)>, TrainError> {
        let candidates = [self.path("last"), self.path("last.old")];
        let Some(folder) = candidates.into_iter().find(|folder| folder.join("meta.json").is_file()) else {
            return Ok(None);
        };
        let path = folder.join("meta.json");
        let bytes = fs::read(&path).map_err(TrainError::io(&path))?;
        let meta = serde_json::from_slice(&bytes)
            .map_err(|error| TrainError::Meta { path, reason: error.to_string() })?;
        Ok(Some((folder, meta)))
    }

    /// Copies `last` to `step-N`, and removes the oldest copies beyond `keep` and what a killed process left of one.
    fn keep(&self, step: u64, keep: usize) -> Result<(), TrainError> {
        if keep == 0 {
            return Ok(());
        }
        let (last, kept) = (self.path("last"), self.path(&format!("step-{step}")));
        ssl_files::write_folder(&kept, |folder| copy_files(&last, folder)).map_err(TrainError::io(kept))?;
        let mut steps = self.kept_steps("")?;
        steps.sort_unstable();
        let too_old = steps.iter().rev().skip(keep).map(|old| format!("step-{old}"));
        let unfinished = self.kept_steps(".tmp")?.into_iter().map(|step| format!("step-{step}.tmp"));
        for name in too_old.chain(unfinished) {
            let folder = self.path(&name);
            ssl_files::remove_folder(&folder).map_err(TrainError::io(folder))?;
        }
        Ok(())
    }

    /// The steps of the folders `step-N` with something behind the number.
    fn kept_steps(&self, ending: &str) -> Result<Vec<u64>, TrainError> {
        let entries = fs::read_dir(&self.folder).map_err(TrainError::io(&self.folder))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let step = |name: String| name.strip_prefix("step-")?.strip_suffix(ending)?.parse().ok();
        Ok(names.filter_map(step).collect())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The student of a run's newest checkpoint; `student` is one of the same architecture.
///
/// # Errors
/// If there is no checkpoint, it cannot be read, or is that of another architecture.
pub fn load_student<S: Module>(run: &RunDir, student: S) -> Result<S, TrainError> {
    match Checkpoints::of(run).newest()? {
        Some((folder, _)) => load_module(&folder, "student", student),
        None => Err(TrainError::NoCheckpoint(run.checkpoints())),
    }
}

/// Reads one part of a checkpoint into a module.
pub(crate) fn load_module<M: Module>(folder: &Path, part: &str, module: M) -> Result<M, TrainError> {
    let path = folder.join(format!("{part}.safetensors"));
    named::load(module, read_tensors(&path)?).map_err(|reason| TrainError::Checkpoint { path, reason })
}

/// Reads the state of an optimizer.
pub(crate) fn load_optimizer(
    folder: &Path,
    optimizer: &mut Optimizer,
    plain: &Device,
) -> Result<(), TrainError> {
    optimizer.load_state(read_tensors(&folder.join("optimizer.safetensors"))?, plain);
    Ok(())
}

fn write_tensors(path: &Path, tensors: &BTreeMap<String, TensorData>) -> io::Result<()> {
    ssl_files::write(path, &named::encode(tensors, "checkpoint"))
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, TensorData>, TrainError> {
    let bytes = fs::read(path).map_err(TrainError::io(path))?;
    let (tensors, _) =
        named::decode(&bytes).map_err(|reason| TrainError::Checkpoint { path: path.to_owned(), reason })?;
    Ok(tensors)
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        ssl_files::copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OptimizerConfig;
    use ssl_core::{DeviceSpec, Init, LayerConfig, Mlp, NoState};

    fn network(seed: u64) -> Mlp {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        Mlp::init(2, &[LayerConfig::new(2)], &mut Init::new(seed, &device))
    }

    fn meta(step: u64) -> Meta {
        Meta {
            step,
            steps_per_epoch: 10,
            epoch_loss: (1.5, 3),
            seconds: 2.0,
            untrained: vec![("knn_top1".into(), 28.4)],
        }
    }

    fn save(checkpoints: &Checkpoints, seed: u64, step: u64, keep: usize) {
        let optimizer = Optimizer::new(OptimizerConfig::default());
        checkpoints.save(&network(seed), &NoState {}, &optimizer, &meta(step), keep).expect("writable");
    }

    #[test]
    fn the_newest_checkpoint_comes_back() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints { folder: dir.path().join("checkpoints") };
        assert!(checkpoints.newest().expect("readable").is_none());
        save(&checkpoints, 1, 10, 0);
        save(&checkpoints, 2, 20, 0);
        let (folder, found) = checkpoints.newest().expect("readable").expect("a checkpoint");
        assert_eq!(found, meta(20));
        let restored = load_module(&folder, "student", network(9)).expect("same network");
        assert_eq!(named::collect(&restored), named::collect(&network(2)));
    }

    #[test]
    fn a_process_killed_between_the_renames_leaves_a_whole_checkpoint() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints { folder: dir.path().to_owned() };
        save(&checkpoints, 1, 10, 0);
        fs::rename(dir.path().join("last"), dir.path().join("last.old")).expect("renamed");
        fs::create_dir(dir.path().join("last.tmp")).expect("created");
        assert_eq!(checkpoints.newest().expect("readable").expect("a checkpoint").1.step, 10);
        save(&checkpoints, 2, 20, 0);
        assert_eq!(checkpoints.newest().expect("readable").expect("a checkpoint").1.step, 20);
    }

    #[test]
    fn only_the_newest_copies_are_kept() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints { folder: dir.path().to_owned() };
        fs::create_dir(dir.path().join("step-7.tmp")).expect("created");
        fs::create_dir(dir.path().join("step-by-hand")).expect("created");
        for step in [8, 9, 10, 11] {
            save(&checkpoints, step, step, 2);
        }
        let mut steps = checkpoints.kept_steps("").expect("readable");
        steps.sort_unstable();
        assert_eq!(steps, [10, 11]);
        let there = |name| dir.path().join(name).exists();
        assert!(!there("step-7.tmp") && there("step-by-hand") && there("step-11/meta.json"));
    }

    #[test]
    fn checkpoints_are_due_by_steps_or_epochs() {
        let config = CheckpointConfig::default().with_every_steps(7);
        let due: Vec<u64> = (1..=20).filter(|step| config.is_due(*step, 10)).collect();
        assert_eq!(due, [7, 10, 14, 20]);
        let error = config.with_every_steps(0).validate().expect_err("no number of steps").field;
        assert_eq!(error, "checkpoint.every_steps");
    }
}
