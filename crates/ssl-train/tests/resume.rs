//! What a resumed run catches up on, and what it refuses to resume from.

mod common;

use std::fs;
use std::path::Path;

use common::{Pixels, StopAfter, device};
use ssl_core::{
    Encoder, Init, MethodRules, NoState, Pass, Progress, SslMethod, Step, StepContext, Views, named,
};
use ssl_data::TrainLoader;
use ssl_train::{
    ChangedData, EarlierLength, Evaluation, Existing, OptimizerConfig, RunDir, ScheduleConfig, Start,
    Summary, TrainConfig, TrainError, Trainer, newest_intact_checkpoint,
};

/// Makes features small.
struct Shrinking {
    /// Factor of the loss.
    scale: f64,
}

impl MethodRules for Shrinking {}

impl SslMethod<Pixels> for Shrinking {
    type Student = Pixels;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: Pixels, _init: &mut Init) -> (Pixels, NoState) {
        (encoder, NoState {})
    }

    fn loss(&self, student: &Pixels, _: &NoState, views: &Views, _: &StepContext) -> Step<()> {
        let features = student.encode(views.crops[0].clone(), &Pass::train());
        Step::of_share(features.square().mean().mul_scalar(self.scale), ())
    }

    fn encoder<'a>(&self, student: &'a Pixels, _: &'a NoState) -> &'a Pixels {
        student
    }
}

fn loader(images: u8, offset: u8) -> TrainLoader {
    common::loader(images, offset, 4)
}

/// A run of four epochs with three steps each.
struct Run {
    folder: tempfile::TempDir,
    config: TrainConfig,
    changed_data: ChangedData,
    scale: f64,
}

impl Run {
    fn new() -> Self {
        let config = TrainConfig {
            optimizer: OptimizerConfig::default().with_lr(0.01),
            schedule: ScheduleConfig { epochs: 4, batch_size: 4, ..ScheduleConfig::default() },
            eval_every_epochs: 1,
            ..TrainConfig::default()
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, config, changed_data: ChangedData::Refuse, scale: 1.0 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("run").join(name)
    }

    /// Continues from the newest checkpoint, if there is one, until after `steps` steps.
    fn until(&self, steps: u64, loader: &TrainLoader) -> Result<Summary, TrainError> {
        let path = self.folder.path().join("run");
        let start = if path.exists() { Start::Resume } else { Start::New };
        let run = match start {
            Start::Resume => RunDir::open(&path)?.locked()?,
            Start::New => RunDir::create(&path, Existing::Refuse)?,
        };
        run.write_atomic("recipe.toml", b"")?;
        let device = device();
        let method = Shrinking { scale: self.scale };
        let trainer = Trainer::new(&method, &self.config, &run, &device);
        let trainer = trainer.with_changed_data(self.changed_data);
        let mut evaluator = |_: &Pixels, at: Progress| Ok(Evaluation::from([("knn_top1", at.step as f64)]));
        let mut observer = StopAfter::step(steps);
        let trained = trainer.fit(Pixels::init(), loader, start, &mut evaluator, &mut observer)?;
        Ok(trained.summary)
    }
}

/// The steps of the evaluations in a metrics file.
fn evaluated(metrics: &Path) -> Vec<u64> {
    let text = fs::read_to_string(metrics).expect("metrics");
    let rows = text.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).expect("JSON"));
    rows.filter(|row| row.get("knn_top1").is_some()).filter_map(|row| row["step"].as_u64()).collect()
}

/// Removes the last row of a file.
fn without_last_row(path: &Path) {
    let text = fs::read_to_string(path).expect("text");
    let rows: Vec<&str> = text.lines().collect();
    fs::write(path, rows[..rows.len() - 1].join("\n") + "\n").expect("writable");
}

#[test]
fn an_evaluation_between_a_kill_and_its_checkpoint_is_made_up_for() {
    for step in [6, 12] {
        let (run, loader) = (Run::new(), loader(12, 0));
        run.until(step, &loader).expect("a run");
        let metrics = run.path("metrics.jsonl");
        without_last_row(&metrics);
        assert_eq!(evaluated(&metrics).last(), Some(&(step - 3)));
        let summary = run.until(12, &loader).expect("it goes on");
        assert_eq!(evaluated(&metrics), [0, 3, 6, 9, 12]);
        assert_eq!(summary.evaluation, [("knn_top1".to_owned(), 12.0)]);
    }
}

#[test]
fn a_run_that_starts_anew_evaluates_once() {
    let (run, loader) = (Run::new(), loader(12, 0));
    run.until(3, &loader).expect("a run");
    fs::remove_dir_all(run.path("checkpoints")).expect("removable");
    run.until(3, &loader).expect("it starts anew");
    assert_eq!(evaluated(&run.path("metrics.jsonl")), [0, 3]);
}

#[test]
fn a_finished_run_without_checkpoints_is_left_as_it_is() {
    let (run, loader) = (Run::new(), loader(12, 0));
    run.until(12, &loader).expect("a run");
    fs::write(run.path("encoder.safetensors"), "the result").expect("writable");
    fs::remove_dir_all(run.path("checkpoints")).expect("removable");
    let error = run.until(12, &loader).expect_err("nothing to go on from");
    assert!(matches!(error, TrainError::NothingToGoOnFrom { .. }), "{error}");
    assert_eq!(evaluated(&run.path("metrics.jsonl")), [0, 3, 6, 9, 12]);
}

#[test]
fn weights_that_are_not_finite_are_never_a_checkpoint() {
    let mut run = Run::new();
    // The loss can be written down, and a step down its gradient cannot.
    (run.scale, run.config.optimizer.lr) = (1e35, 1e6);
    run.config.schedule.warmup_epochs = 1.0;
    run.config.checkpoint.every_steps = Some(1);
    let error = run.until(12, &loader(12, 0)).expect_err("it diverges").to_string();
    assert!(error.starts_with("tensor 'linear."), "{error}");
    assert!(error.contains("not finite after step 2, so nothing was saved"), "{error}");
    let there = RunDir::open(&run.path("")).expect("a run");
    let newest = newest_intact_checkpoint(&there).expect("intact").expect("a checkpoint");
    assert!(newest.step() == 1 && error.contains(&newest.folder().display().to_string()), "{error}");
}

/// Removes from a checkpoint what earlier versions did not write.
fn as_before(folder: &Path) {
    for name in ["images.bin", "checksums.json"] {
        fs::remove_file(folder.join(name)).expect("removable");
    }
    let path = folder.join("meta.json");
    let mut meta: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
    let meta = meta.as_object_mut().expect("an object");
    meta.retain(|key, _| !["checksums", "recipe", "data"].contains(&key.as_str()));
    fs::write(&path, serde_json::to_vec(meta).expect("JSON")).expect("writable");
}

#[test]
fn an_end_before_the_checkpoint_and_epochs_of_another_length_are_told_apart() {
    let mut run = Run::new();
    run.until(6, &loader(12, 0)).expect("a run");
    let error = |run: &Run, loader| run.until(12, &loader).expect_err("another run").to_string();
    let fewer = error(&run, loader(11, 0));
    assert!(fewer.starts_with("there are 11 images, and the run started with 12: expected"), "{fewer}");
    let before = fs::read(run.path("checkpoints/last/student.safetensors")).expect("readable");
    as_before(&run.path("checkpoints/last"));
    let fewer = error(&run, loader(11, 0));
    assert!(fewer.contains("is of a run with 3 steps per epoch, and this run has 2: expected"), "{fewer}");
    run.config.schedule.max_steps = Some(5);
    let past = error(&run, loader(12, 0));
    assert!(past.contains("is from step 6, and the run ends after 5 (schedule.epochs"), "{past}");
    assert_eq!(fs::read(run.path("checkpoints/last/student.safetensors")).expect("readable"), before);
    run.config.schedule.max_steps = None;
    assert!(run.until(12, &loader(12, 0)).expect("an old checkpoint is read").finished);
}

#[test]
fn an_old_checkpoint_that_lacks_a_momentum_is_named_and_not_resumed() {
    let (run, loader) = (Run::new(), loader(12, 0));
    run.until(6, &loader).expect("a run");
    as_before(&run.path("checkpoints/last"));
    let path = run.path("checkpoints/last/optimizer.safetensors");
    let (mut tensors, _) = named::decode(&fs::read(&path).expect("readable")).expect("tensors");
    tensors.remove("linear.bias:first").expect("a momentum");
    fs::write(&path, named::encode(&tensors, "")).expect("writable");
    let error = run.until(12, &loader).expect_err("half a state").to_string();
    assert!(error.contains("tensor 'linear.bias:first'") && error.contains("is missing"), "{error}");
}

#[test]
fn other_pixels_under_the_same_name_end_a_run_unless_accepted() {
    let mut run = Run::new();
    run.until(6, &loader(12, 0)).expect("a run");
    let error = run.until(12, &loader(12, 1)).expect_err("other images").to_string();
    assert!(error.contains("is not the image that it was when the run first read it: expected"), "{error}");
    run.changed_data = ChangedData::Accept;
    assert!(run.until(12, &loader(12, 1)).expect("accepted").finished);
}

#[test]
fn a_run_that_is_made_longer_goes_on_like_one_with_these_lengths_from_the_start() {
    let (mut run, mut whole, loader) = (Run::new(), Run::new(), loader(12, 0));
    run.until(12, &loader).expect("a run");
    let student = |run: &Run| fs::read(run.path("checkpoints/last/student.safetensors")).expect("readable");
    let first = student(&run);
    let longer = ScheduleConfig { epochs: 8, ..run.config.schedule.clone() };
    run.config.schedule = longer.continuing(&run.config.schedule, 12, 3);
    assert_eq!(run.config.schedule.earlier_lengths, [EarlierLength { until_step: 12, total_steps: 12 }]);
    run.until(14, &loader).expect("it was stopped");
    assert!(run.until(24, &loader).expect("it goes on").finished);
    assert_ne!(student(&run), first);
    whole.config.schedule.clone_from(&run.config.schedule);
    whole.until(24, &loader).expect("in one go");
    assert_eq!(student(&run), student(&whole));
    for run in [&run, &whole] {
        let rows = fs::read_to_string(run.path("metrics.jsonl")).expect("metrics");
        let row = "{\"step\":12,\"epoch\":4,\"total_steps_before\":12.0,\"total_steps\":24.0,";
        assert_eq!(rows.matches(row).count(), 1, "{rows}");
        assert_eq!(evaluated(&run.path("metrics.jsonl")), [0, 3, 6, 9, 12, 15, 18, 21, 24]);
    }
}

#[test]
fn a_run_in_use_is_not_resumed() {
    let (run, loader) = (Run::new(), loader(12, 0));
    run.until(6, &loader).expect("a run");
    let other = RunDir::open(&run.path("")).and_then(RunDir::locked).expect("nobody else");
    assert!(matches!(run.until(12, &loader), Err(TrainError::Running { .. })));
    drop(other);
    run.until(9, &loader).expect("nobody else");
}

#[test]
fn a_rehearsal_takes_steps_leaves_nothing_behind_and_knows_the_size_of_a_checkpoint() {
    let (run, loader, device) = (Run::new(), loader(12, 0), device());
    let nowhere = RunDir::unwritten(&run.folder.path().join("nowhere"));
    let method = Shrinking { scale: 1.0 };
    let mut evaluations = 0;
    let mut rehearse = |method: &Shrinking| {
        let mut evaluator = |_: &Pixels, _: Progress| {
            evaluations += 1;
            Ok(Evaluation::new())
        };
        Trainer::new(method, &run.config, &nowhere, &device).rehearse(Pixels::init(), &loader, &mut evaluator)
    };
    let found = rehearse(&method).expect("steps");
    assert!(!nowhere.path().exists());
    // The run has twelve steps, and quick ones are repeated.
    assert!(
        found.steps >= 2 && found.step_seconds > 0.0 && found.data_seconds <= found.step_seconds,
        "{found:?}"
    );
    assert_eq!(found.parameters, 48 * 3 + 3);
    run.until(12, &loader).expect("a run");
    let files =
        fs::read_dir(run.path("checkpoints/last")).expect("a checkpoint").map(|file| file.expect("a file"));
    let kept = files.filter(|file| !file.file_name().to_string_lossy().ends_with(".json"));
    let bytes: u64 = kept.map(|file| file.metadata().expect("a file").len()).sum();
    assert_eq!(found.checkpoint_bytes, bytes);
    let error = rehearse(&Shrinking { scale: f64::NAN }).expect_err("no number").to_string();
    assert!(error.contains("NaN"), "{error}");
    assert_eq!(evaluations, 1, "of the steps that went well");
}

#[test]
fn checkpoints_are_counted_as_the_run_writes_them() {
    let count = |every_steps, every_epochs, steps| {
        let config = ssl_train::CheckpointConfig { every_steps, every_epochs, keep: 0 };
        config.count(steps, 10)
    };
    assert_eq!((count(None, 1, 100), count(None, 3, 100), count(None, 0, 100)), (10, 4, 1));
    assert_eq!((count(Some(4), 0, 100), count(Some(4), 1, 100), count(Some(20), 1, 5)), (25, 25, 1));
}
