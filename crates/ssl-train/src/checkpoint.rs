//! Checkpoints: everything that a run needs to continue as if nothing had happened.

mod good;
mod intact;
mod sums;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::module::Module;
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, limits, named, setters};

pub(crate) use intact::newest_before;
pub use intact::{DamagedCheckpoint, IntactCheckpoint, newest_intact_checkpoint};

use crate::{Optimizer, RunDir, TrainError};
use good::GOOD;
use sums::SummedFolder;

/// The tensor files of a checkpoint, without their extension.
const PARTS: [&str; 3] = ["student", "state", "optimizer"];

/// The file with the hashes of images.
const IMAGES: &str = "images.bin";

/// The file with everything else.
const META: &str = "meta.json";

/// When checkpoints are written: the `[checkpoint]` section of a recipe. The end of a run always writes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints, besides those of `every_epochs`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<u64>,
    /// Epochs between two checkpoints; 0 writes none. Default 1: at most one epoch is lost (our choice).
    pub every_epochs: u64,
    /// How many checkpoints to keep as `step-N`, besides `last` and, while a run looks like a collapse, the one from before.
    /// Default 0.
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
        ConfigError::check(self.every_steps != Some(0), "checkpoint.every_steps", 0, expected)?;
        limits::steps("checkpoint.every_steps", self.every_steps.unwrap_or_default())?;
        limits::epochs("checkpoint.every_epochs", self.every_epochs)?;
        limits::steps("checkpoint.keep", self.keep as u64)
    }

    /// How many checkpoints a run of `steps` steps writes.
    pub fn count(&self, steps: u64, steps_per_epoch: u64) -> u64 {
        let of_epoch = self.every_epochs.saturating_mul(steps_per_epoch);
        match (self.every_steps.unwrap_or(0), of_epoch) {
            (0, 0) => 1,
            (0, every) | (every, 0) => steps.div_ceil(every),
            (one, other) => steps.div_ceil(one.min(other)),
        }
    }

    /// Whether a checkpoint is due after `step` steps.
    pub(crate) fn is_due(&self, step: u64, steps_per_epoch: u64) -> bool {
        let every = |n: u64| n > 0 && step.is_multiple_of(n);
        self.every_steps.is_some_and(every) || every(self.every_epochs.saturating_mul(steps_per_epoch))
    }
}

/// What a checkpoint holds besides tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps per epoch; a different number means different data or a different batch size.
    pub(crate) steps_per_epoch: u64,
    /// Sum of the losses of the epoch so far, and their number.
    pub(crate) epoch_loss: (f64, u64),
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// k-NN and other figures from before the first step.
    pub(crate) untrained: Vec<(String, f64)>,
    /// Whether there are checksums of all files; earlier versions wrote none.
    #[serde(default)]
    pub(crate) checksums: bool,
    /// The document that determines the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipe: Option<String>,
    /// The images of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<DataMark>,
}

/// What tells one set of images from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataMark {
    /// Number of images.
    pub(crate) images: usize,
    /// A hash of their names and labels, in hexadecimal.
    pub(crate) names: String,
    /// A hash of the lengths of their files.
    pub(crate) sizes: String,
}

/// The networks and the optimizer of a run, to be written.
pub(crate) struct Parts<'a, S, T> {
    pub(crate) student: &'a S,
    pub(crate) state: &'a T,
    pub(crate) optimizer: &'a Optimizer,
}

impl<S: Module, T: Module> Parts<'_, S, T> {
    /// The tensors of one of [`PARTS`], read back from the device.
    fn tensors(&self, part: &str) -> BTreeMap<String, TensorData> {
        match part {
            "student" => named::collect(self.student),
            "state" => named::collect(self.state),
            _ => self.optimizer.state(),
        }
    }

    /// The size of the files with tensors, in bytes. They are made as for a checkpoint, one after the other.
    pub(crate) fn bytes(&self) -> u64 {
        PARTS.iter().map(|part| named::encode(&self.tensors(part), "checkpoint").len() as u64).sum()
    }
}

/// Why no checkpoint was written.
enum SaveError {
    Io(io::Error),
    /// The tensor with this path is not finite.
    NotFinite(String),
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The checkpoints of a run.
///
/// A checkpoint is a folder with `student`, `state` and `optimizer` (`.safetensors`), `meta.json`, the hashes of the images read
/// so far in `images.bin`, and `checksums.json` over all of these. One of `last` and `last.old` is whole at any moment, see
/// [`ssl_files::write_folder`].
pub(crate) struct Checkpoints {
    folder: PathBuf,
    /// Damaged folders in the place of the next checkpoint.
    in_the_way: Vec<PathBuf>,
}

impl Checkpoints {
    pub(crate) fn of(run: &RunDir) -> Self {
        Self { folder: run.checkpoints(), in_the_way: Vec::new() }
    }

    /// Keeps a damaged `last` for the user to inspect when the next checkpoint takes its place.
    pub(crate) fn set_aside(&mut self, damaged: &[DamagedCheckpoint]) {
        let last = self.path("last");
        self.in_the_way =
            damaged.iter().map(|one| one.folder.clone()).filter(|folder| *folder == last).collect();
    }

    /// Writes a checkpoint as `last`, and as `step-N` if it is to be kept. `images` are the contents of `images.bin`. While the run
    /// looks like a collapse, since step `suspected`, the last checkpoint from before stays as `last-good`.
    ///
    /// If a tensor is not finite, nothing is written, and its path is returned.
    pub(crate) fn save<S: Module, T: Module>(
        &mut self,
        parts: &Parts<'_, S, T>,
        images: &[u8],
        meta: &Meta,
        keep: usize,
        suspected: Option<u64>,
    ) -> Result<Option<String>, TrainError> {
        self.move_aside()?;
        if let Some(since) = suspected {
            self.keep_good(since);
        }
        let last = self.path("last");
        let files = |folder: &Path| -> Result<(), SaveError> {
            let mut folder = SummedFolder::new(folder);
            for part in PARTS {
                // One after the other, so that only one is in memory.
                let tensors = parts.tensors(part);
                if let Some(path) = named::first_not_finite(&tensors) {
                    return Err(SaveError::NotFinite(path.to_owned()));
                }
                folder.write(&format!("{part}.safetensors"), &named::encode(&tensors, "checkpoint"))?;
            }
            folder.write(IMAGES, images)?;
            let json = serde_json::to_vec_pretty(meta).expect("numbers and names are valid JSON");
            folder.write(META, &json)?;
            Ok(folder.finish()?)
        };
        match ssl_files::write_folder(&last, files) {
            Ok(()) => {
                if suspected.is_none() {
                    self.forget_good()?;
                }
                self.keep(meta.step, keep).map(|()| None)
            }
            Err(SaveError::NotFinite(path)) => Ok(Some(path)),
            Err(SaveError::Io(error)) => Err(TrainError::io(last)(error)),
        }
    }

    /// Renames what [`set_aside`](Self::set_aside) marked to the first unused name of `last.damaged-1`, `-2` ….
    fn move_aside(&mut self) -> Result<(), TrainError> {
        for folder in self.in_the_way.drain(..).filter(|folder| folder.exists()) {
            let mut names = (1..).map(|number| self.folder.join(format!("last.damaged-{number}")));
            let free = names.find(|path| !path.exists()).unwrap_or_else(|| folder.clone());
            fs::rename(&folder, free).map_err(TrainError::io(folder))?;
        }
        Ok(())
    }

    /// Copies `last` to `step-N`; removes the oldest copies beyond `keep`, and any that a killed process left half written. Copies
    /// of later steps stay: this run has not replaced them yet.
    fn keep(&self, step: u64, keep: usize) -> Result<(), TrainError> {
        if keep == 0 {
            return Ok(());
        }
        let (last, kept) = (self.path("last"), self.path(&format!("step-{step}")));
        ssl_files::write_folder(&kept, |folder| copy_files(&last, folder)).map_err(TrainError::io(kept))?;
        let mut steps = self.kept_steps("")?;
        steps.retain(|&old| old <= step);
        steps.sort_unstable();
        let too_old = steps.iter().rev().skip(keep).map(|old| format!("step-{old}"));
        let unfinished = self.kept_steps(".tmp")?.into_iter().map(|step| format!("step-{step}.tmp"));
        for name in too_old.chain(unfinished) {
            let folder = self.path(&name);
            ssl_files::remove_folder(&folder).map_err(TrainError::io(folder))?;
        }
        Ok(())
    }

    /// The steps of the folders whose name is `step-N` and a suffix.
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

/// The files of a checkpoint.
pub(crate) fn file_names() -> impl Iterator<Item = String> {
    let parts = PARTS.iter().map(|part| format!("{part}.safetensors"));
    parts.chain([META, IMAGES, sums::SUMS].map(str::to_owned))
}

/// Whether a folder of this name in `checkpoints/` was written by a run.
pub(crate) fn is_checkpoint_name(name: &str) -> bool {
    let plain = [".tmp", ".old"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let has_number = |start| plain.strip_prefix(start).is_some_and(|number| number.parse::<u64>().is_ok());
    plain == "last" || plain == GOOD || has_number("step-") || has_number("last.damaged-")
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
    use crate::{Existing, OptimizerConfig};
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
            checksums: true,
            recipe: Some("seed = 0".into()),
            data: None,
        }
    }

    /// A run without a checkpoint.
    fn run() -> (tempfile::TempDir, RunDir) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = RunDir::create(&dir.path().join("run"), Existing::Refuse).expect("a new folder");
        (dir, run)
    }

    fn save(checkpoints: &mut Checkpoints, seed: u64, step: u64, keep: usize) {
        save_suspected(checkpoints, seed, step, keep, None);
    }

    fn save_suspected(checkpoints: &mut Checkpoints, seed: u64, step: u64, keep: usize, since: Option<u64>) {
        let optimizer = Optimizer::new(OptimizerConfig::default());
        let parts = Parts { student: &network(seed), state: &NoState {}, optimizer: &optimizer };
        let saved = checkpoints.save(&parts, &[1; 8], &meta(step), keep, since);
        assert_eq!(saved.expect("writable"), None);
    }

    fn newest(run: &RunDir) -> IntactCheckpoint {
        newest_intact_checkpoint(run).expect("one is intact").expect("a checkpoint")
    }

    fn name(checkpoint: &IntactCheckpoint) -> &str {
        checkpoint.folder().file_name().and_then(|name| name.to_str()).expect("Unicode")
    }

    #[test]
    fn the_newest_checkpoint_comes_back() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        assert!(newest_intact_checkpoint(&run).expect("readable").is_none());
        save(&mut checkpoints, 1, 10, 0);
        save(&mut checkpoints, 2, 20, 0);
        let found = newest(&run);
        assert_eq!((found.meta(), found.damaged()), (&meta(20), &[][..]));
        assert_eq!(found.image_hashes().expect("readable"), [0x0101_0101_0101_0101]);
        let restored = found.student(network(9)).expect("same network");
        assert_eq!(named::collect(&restored), named::collect(&network(2)));
    }

    #[test]
    fn a_process_killed_between_the_renames_leaves_a_whole_checkpoint() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        save(&mut checkpoints, 1, 10, 0);
        let path = |name| run.checkpoints().join(name);
        fs::rename(path("last"), path("last.old")).expect("renamed");
        fs::create_dir(path("last.tmp")).expect("created");
        assert_eq!((newest(&run).step(), newest(&run).damaged().len()), (10, 0));
        save(&mut checkpoints, 2, 20, 0);
        assert_eq!(newest(&run).step(), 20);
    }

    #[test]
    fn only_the_newest_copies_are_kept() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        for name in ["step-7.tmp", "step-by-hand", "step-99"] {
            fs::create_dir_all(run.checkpoints().join(name)).expect("created");
        }
        for step in [8, 9, 10, 11] {
            save(&mut checkpoints, step, step, 2);
        }
        let mut steps = checkpoints.kept_steps("").expect("readable");
        steps.sort_unstable();
        assert_eq!(steps, [10, 11, 99], "what comes later is not this run's to remove");
        let there = |name| run.checkpoints().join(name).exists();
        assert!(!there("step-7.tmp") && there("step-by-hand") && there("step-11/meta.json"));
    }

    #[test]
    fn the_checkpoint_from_before_a_suspicion_stays_until_that_has_passed() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        let good = run.checkpoints().join("last-good");
        let kept = || intact::meta_of(&good).ok().map(|meta| meta.step);
        save(&mut checkpoints, 1, 10, 0);
        for step in [20, 30, 40] {
            save_suspected(&mut checkpoints, step, step, 0, Some(20));
            assert_eq!((kept(), newest(&run).step()), (Some(10), step));
        }
        assert_eq!((newest_before(&run, 20), newest_before(&run, 10)), (Some(good.clone()), None));
        save(&mut checkpoints, 5, 50, 0);
        assert_eq!(kept(), None, "it has passed");
        save_suspected(&mut checkpoints, 6, 60, 0, Some(50));
        assert_eq!((kept(), newest_before(&run, 50)), (None, None), "step 50 shows it already");
    }

    #[test]
    fn a_run_whose_last_checkpoint_is_gone_goes_on_from_the_one_before_a_suspicion() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        save(&mut checkpoints, 1, 10, 0);
        save_suspected(&mut checkpoints, 2, 20, 0, Some(20));
        fs::write(run.checkpoints().join("last-good/meta.json"), "").expect("writable");
        assert_eq!((newest(&run).step(), newest(&run).damaged()), (20, &[][..]), "nobody needs it");
        save_suspected(&mut checkpoints, 3, 30, 0, Some(30));
        fs::remove_dir_all(run.checkpoints().join("last")).expect("removable");
        let found = newest(&run);
        assert_eq!((name(&found), found.step(), found.damaged().len()), ("last-good", 20, 1));
    }

    /// What is done to a file, and its name.
    type Damage = (String, fn(&Path));

    /// Every way to damage a file of a checkpoint.
    fn damages() -> Vec<Damage> {
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).expect("readable");
            // In the last numbers of a tensor, where only a checksum notices.
            let place = bytes.len() - 2;
            bytes[place] ^= 1;
            fs::write(path, bytes).expect("writable");
        };
        let cut = |path: &Path| {
            let bytes = fs::read(path).expect("readable");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("writable");
        };
        let remove = |path: &Path| fs::remove_file(path).expect("removable");
        let ways: [fn(&Path); 3] = [flip, cut, remove];
        file_names().flat_map(|name| ways.map(|way| (name.clone(), way))).collect()
    }

    #[test]
    fn whatever_is_damaged_the_newest_intact_checkpoint_is_found_and_nothing_is_lost() {
        for (file, damage) in damages() {
            let (_dir, run) = run();
            let mut checkpoints = Checkpoints::of(&run);
            for step in [4, 6, 8] {
                save(&mut checkpoints, step, step, 2);
            }
            damage(&run.checkpoints().join("last").join(&file));
            damage(&run.checkpoints().join("step-8").join(&file));
            let found = newest(&run);
            assert_eq!((name(&found), found.damaged().len()), ("step-6", 2), "{file}");
            assert!(
                found
                    .damaged()
                    .iter()
                    .all(|damaged| damaged.reason.contains(&file) || file == "checksums.json")
            );

            checkpoints.set_aside(found.damaged());
            save(&mut checkpoints, 7, 7, 2);
            let there = |name: &str| run.checkpoints().join(name).exists();
            assert!(
                there("last.damaged-1") && there("step-6") && there("step-7") && there("step-8"),
                "{file}"
            );
            assert_eq!(name(&newest(&run)), "last", "{file}");
        }
    }

    #[test]
    fn checksums_of_some_files_do_not_speak_for_the_others() {
        let (_dir, run) = run();
        save(&mut Checkpoints::of(&run), 1, 10, 0);
        let path = run.checkpoints().join("last").join(sums::SUMS);
        let whole: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&fs::read(&path).expect("readable")).expect("a list");
        for name in file_names().filter(|name| name != sums::SUMS) {
            let mut some = whole.clone();
            some.remove(&name).expect("every file is listed");
            fs::write(&path, serde_json::to_vec(&some).expect("JSON")).expect("writable");
            let error = newest_intact_checkpoint(&run).expect_err("a file is unknown").to_string();
            assert!(error.contains(&format!("checksums.json does not list {name}")), "{error}");
        }
    }

    #[test]
    fn a_missing_last_is_told_of_and_none_intact_is_an_error() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        save(&mut checkpoints, 4, 4, 1);
        let path = |name| run.checkpoints().join(name);
        fs::remove_dir_all(path("last")).expect("removable");
        let found = newest(&run);
        assert_eq!(
            (name(&found), found.damaged()[0].to_string().ends_with("last: it is missing")),
            ("step-4", true)
        );
        fs::remove_file(path("step-4/meta.json")).expect("removable");
        let error = newest_intact_checkpoint(&run).expect_err("none is intact").to_string();
        assert!(error.contains("step-4: meta.json is missing"), "{error}");
        assert!(path("step-4/student.safetensors").exists());
    }

    /// Turns a checkpoint into one of an earlier version.
    fn as_before(folder: &Path) {
        for name in [IMAGES, sums::SUMS] {
            fs::remove_file(folder.join(name)).expect("removable");
        }
        let meta = r#"{"step":10,"steps_per_epoch":10,"epoch_loss":[1.5,3],"seconds":2.0,"untrained":[]}"#;
        fs::write(folder.join(META), meta).expect("writable");
    }

    #[test]
    fn a_checkpoint_without_checksums_is_read_unless_it_is_not_finite() {
        let (_dir, run) = run();
        let mut checkpoints = Checkpoints::of(&run);
        save(&mut checkpoints, 1, 10, 0);
        let last = run.checkpoints().join("last");
        as_before(&last);
        let found = newest(&run);
        assert!(!found.meta().checksums && found.image_hashes().expect("none").is_empty());
        found.student(network(2)).expect("the same network");

        let path = last.join("student.safetensors");
        let (mut tensors, _) = named::decode(&fs::read(&path).expect("readable")).expect("tensors");
        tensors.insert("layers.0.linear.weight".into(), TensorData::from([f32::INFINITY]));
        fs::write(&path, named::encode(&tensors, "")).expect("writable");
        let error = newest_intact_checkpoint(&run).expect_err("poisoned").to_string();
        assert!(error.contains("'layers.0.linear.weight' in student.safetensors is not finite"), "{error}");
    }

    #[test]
    fn checkpoints_are_due_by_steps_or_epochs() {
        let config = CheckpointConfig::default().with_every_steps(7);
        let due: Vec<u64> = (1..=20).filter(|step| config.is_due(*step, 10)).collect();
        assert_eq!(due, [7, 10, 14, 20]);
        assert!(!CheckpointConfig::default().with_every_epochs(u64::MAX).is_due(20, 10));
        let error = config.with_every_steps(0).validate().expect_err("no number of steps").field;
        assert_eq!(error, "checkpoint.every_steps");
    }

    #[test]
    fn checkpoints_that_no_run_comes_to_are_named() {
        let config = CheckpointConfig::default;
        let error = |config: CheckpointConfig| config.validate().expect_err("too many").field;
        assert_eq!(error(config().with_every_steps(1_u64 << 40)), "checkpoint.every_steps");
        assert_eq!(error(config().with_every_epochs(1 << 40)), "checkpoint.every_epochs");
        assert_eq!(error(config().with_keep(usize::MAX)), "checkpoint.keep");
    }
}
