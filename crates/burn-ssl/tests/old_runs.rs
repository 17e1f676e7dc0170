//! Directories of runs that an earlier version started: they go on, are evaluated and exported.

use std::fs;
use std::path::Path;

use burn_ssl::core::named;
use burn_ssl::encoders::{Artifact, Kind};
use burn_ssl::export::{ExportOptions, export};
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::train::StepReport;
use burn_ssl::{DistillOptions, EncoderSource, FinetuneOptions, KnnOptions, distill, evaluate_knn, finetune};

/// `[optimizer]` of the recipe below, as commit ca7da3d wrote it.
const OLD_OPTIMIZER: &str = "\
[optimizer]
name = \"sgd\"
lr = 0.1
lr_scale_batch = 64
momentum = 0.9
nesterov = false
weight_decay = 0.0005
no_decay = \"none\"
trust_coefficient = 0.001
lr_in_momentum = false
betas = [0.9, 0.999]
clip_norm = 0.0
clip_per_parameter = false
accumulate = 2
embed_chunk = 0

";

/// A recipe of a run that takes a second: 6 steps of two micro-batches.
fn recipe() -> Recipe {
    let mut draft = Draft::named("demo").expect("a recipe of the library");
    draft.set_image_size(16).expect("usable");
    let changes = ["data.limit=48", "encoder.width=4", "schedule.epochs=2", "schedule.batch_size=16"];
    for change in changes.into_iter().chain(["train.accumulate=2", "eval.limit=20"]) {
        draft.assign(change).expect("usable");
    }
    draft.finish().expect("usable")
}

/// Stops a training after its second step.
struct StopAfterTwo(u64);

impl Observer for StopAfterTwo {
    fn on_step(&mut self, report: &StepReport) {
        self.0 = report.at.step;
    }

    fn stop(&self) -> bool {
        self.0 == 2
    }
}

/// Puts the old spelling into a record, in place of the sections of today.
fn write_as_before(record: &Path, old: &str) {
    let text = fs::read_to_string(record).expect("a record");
    let sections: Vec<_> = text.split_inclusive('\n').collect();
    let mut section = "";
    let mut rest = String::new();
    for line in sections {
        section = if line.starts_with('[') { line.trim() } else { section };
        rest += if ["[optimizer]", "[train]"].contains(&section) { "" } else { line };
    }
    assert!(rest.contains("[schedule]") && !rest.contains("momentum"), "{rest}");
    fs::write(record, rest.replace("[schedule]", &format!("{old}[schedule]"))).expect("a writable file");
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).expect("a file")
}

#[test]
fn an_old_run_goes_on_to_the_bytes_of_a_new_one_and_is_evaluated_and_exported() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (whole, old) = (dir.path().join("whole"), dir.path().join("old"));
    let recipe = recipe();
    pretrain(&recipe, &PretrainOptions::new(&whole), &mut NoObserver).expect("a run");

    let mut options = PretrainOptions::new(&old);
    assert!(!pretrain(&recipe, &options, &mut StopAfterTwo(0)).expect("a run").finished);
    write_as_before(&old.join("recipe.toml"), OLD_OPTIMIZER);
    options.resume = true;
    let first = Draft::of_run(&old).and_then(|draft| Ok(draft.finish()?)).expect("the recipe of the run");
    pretrain(&first, &options, &mut NoObserver).expect("the same run");
    assert_eq!(read(old.join("encoder.safetensors")), read(whole.join("encoder.safetensors")));

    write_as_before(&old.join("recipe.toml"), OLD_OPTIMIZER);
    let knn = |run: &Path| evaluate_knn(&KnnOptions::new(EncoderSource::Run(run.into()))).expect("a run");
    assert_eq!(knn(&old), knn(&whole));
    let exported = |run: &Path| {
        let out = run.join("exported.safetensors");
        export(&ExportOptions::new(run, &out)).expect("a run");
        read(out)
    };
    assert_eq!(exported(&old), exported(&whole));
}

/// Gives a file the description that commit ca7da3d wrote, in place of that of today; `more` is that of a classifier.
fn describe_as_before(file: &Path, more: serde_json::Value) {
    let artifact = Artifact::read(file).expect("a readable file").expect("own description");
    let mut old = serde_json::json!({
        "version": "0.1.0",
        "encoder": artifact.encoder,
        "image_size": artifact.preprocessing.size,
        "mean": artifact.preprocessing.mean,
        "std": artifact.preprocessing.std,
        "about": { "method": "simclr", "seed": "0" },
    });
    let (old_keys, more) =
        (old.as_object_mut().expect("an object"), more.as_object().expect("an object").clone());
    old_keys.extend(more);
    let (tensors, _) = named::decode(&read(file)).expect("own file");
    fs::write(file, named::encode(&tensors, &old.to_string())).expect("a writable file");
}

#[test]
fn old_files_of_encoders_and_classifiers_are_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (run, tuned) = (dir.path().join("run"), dir.path().join("tuned"));
    pretrain(&recipe(), &PretrainOptions::new(&run), &mut NoObserver).expect("a run");
    let knn = || evaluate_knn(&KnnOptions::new(EncoderSource::Run(run.clone()))).expect("a run");
    let before = knn();
    describe_as_before(&run.join("encoder.safetensors"), serde_json::json!({}));
    let old = knn();
    assert_eq!(
        (before.encoder.steps, old.encoder.steps),
        (Some(6), None),
        "files of that time have no steps"
    );
    assert_eq!((old.knn_top1, old.knn_top5, old.images), (before.knn_top1, before.knn_top5, before.images));

    let mut options = FinetuneOptions::new(EncoderSource::Run(run.clone()), &tuned);
    (options.epochs, options.batch_size) = (Some(1), Some(16));
    finetune(&options, &mut NoObserver).expect("a training");
    let distilled = |out: &str| {
        let mut options = DistillOptions::new(&tuned, "demo:train", dir.path().join(out));
        (options.limit, options.test_limit) = (Some(32), Some(20));
        (options.epochs, options.batch_size) = (1, Some(16));
        let report = distill(&options, &mut NoObserver).expect("a training");
        (report.teacher_top1, read(dir.path().join(out).join("classifier.safetensors")))
    };
    let before = distilled("new");
    let file = tuned.join("classifier.safetensors");
    let kind = Artifact::read(&file).expect("a readable file").expect("own description").kind;
    let Kind::Classifier(head) = kind else { panic!("{kind:?}") };
    describe_as_before(&file, serde_json::to_value(head).expect("JSON"));
    assert_eq!(distilled("old"), before);
}

#[test]
fn another_micro_batch_than_that_of_an_old_run_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut options = PretrainOptions::new(dir.path().join("run"));
    pretrain(&recipe(), &options, &mut StopAfterTwo(0)).expect("a run");
    write_as_before(
        &options.out.join("recipe.toml"),
        &OLD_OPTIMIZER.replace("accumulate = 2", "accumulate = 1"),
    );
    options.resume = true;
    let error = pretrain(&recipe(), &options, &mut NoObserver).expect_err("another run").to_string();
    assert!(error.contains("train.accumulate is 1 and not 2"), "{error}");
}

#[test]
fn an_old_fine_tuning_goes_on_to_the_bytes_of_a_new_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = |out: &str| {
        let config = EncoderConfig { width: 2, ..EncoderConfig::named("resnet18") };
        let encoder = EncoderSource::Untrained { config, seed: 0 };
        let mut options = FinetuneOptions::new(encoder, dir.path().join(out));
        options.sets.train = Some("demo:train".into());
        options.sets.test = Some("demo:test".into());
        (options.sets.train_limit, options.sets.test_limit) = (Some(40), Some(20));
        options.sets.preprocessing.image_size = Some(16);
        (options.epochs, options.batch_size) = (Some(2), Some(20));
        options
    };
    finetune(&options("whole"), &mut NoObserver).expect("a training");
    let mut old = options("old");
    assert!(!finetune(&old, &mut StopAfterTwo(0)).expect("a training").finished);
    let record = OLD_OPTIMIZER
        .replace("lr = 0.1\nlr_scale_batch = 64", "lr = 0.05\nlr_scale_batch = 256")
        .replace("nesterov = false", "nesterov = true")
        .replace("weight_decay = 0.0005", "weight_decay = 0.0")
        .replace("accumulate = 2", "accumulate = 1");
    write_as_before(&old.out.join("classifier.toml"), &record);
    old.resume = true;
    finetune(&old, &mut NoObserver).expect("the same training");
    let classifier = |out: &str| read(dir.path().join(out).join("classifier.safetensors"));
    assert_eq!(classifier("old"), classifier("whole"));
}
