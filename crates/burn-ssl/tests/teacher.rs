//! Runs whose method learns from a frozen network: where the network comes from, and what a run is without it.
#![cfg(all(feature = "flex", feature = "distill-features", feature = "simclr"))]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use burn_ssl::core::{Init, named};
use burn_ssl::encoders::{Artifact, Preprocessing, weights};
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::train::StepReport;
use burn_ssl::{EmbedOptions, EncoderSource, embed_images};
use tempfile::TempDir;

/// A folder, and files in it by name.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path that is text").to_owned()
    }
}

fn resnet() -> EncoderConfig {
    EncoderConfig { width: 6, ..EncoderConfig::named("resnet18") }
}

/// 64 patches of 4 pixels in images of 32.
fn vit() -> EncoderConfig {
    EncoderConfig {
        patch_size: Some(4),
        embed_dim: Some(24),
        depth: Some(1),
        heads: Some(2),
        ..EncoderConfig::named("vit-tiny")
    }
}

/// Writes a network with a description, as a run does.
fn write(config: &EncoderConfig, preprocessing: Preprocessing, seed: u64, path: &Path) {
    let device = DeviceSpec::Flex.open().expect("flex is compiled in");
    let network = config.init(preprocessing.size, &mut Init::new(seed, &device)).expect("usable");
    weights::save(&network, path, &Artifact::new(config, preprocessing)).expect("writable");
}

/// Writes the tensors of a network as timm and torchvision do, without a description.
fn write_plain(config: &EncoderConfig, size: usize, path: &Path) {
    let device = DeviceSpec::Flex.open().expect("flex is compiled in");
    let network = config.init(size, &mut Init::new(3, &device)).expect("usable");
    fs::write(path, named::encode(&named::collect(&network), "")).expect("writable");
}

/// Three steps of 8 rendered images in an epoch, two epochs.
fn recipe(assignments: &[&str]) -> Recipe {
    let mut draft = Draft::named("distill-features/cifar10-quick").expect("a recipe of the library");
    let short = ["data.path=demo:train", "data.limit=24", "schedule.batch_size=8", "schedule.epochs=2"];
    for assignment in short.iter().chain(&["encoder.width=4"]).chain(assignments) {
        draft.assign(assignment).expect("it has the section");
    }
    draft.finish().expect("usable")
}

fn taught(teacher: &str, assignments: &[&str]) -> Recipe {
    let mut recipe = recipe(assignments);
    recipe.method_options.insert("teacher".to_owned(), teacher.into());
    recipe
}

/// The options that make a student of the same patches as [`vit`].
const OF_TOKENS: [&str; 8] = [
    "encoder.name=vit-tiny",
    "encoder.width=64",
    "encoder.stem=auto",
    "encoder.patch_size=4",
    "encoder.embed_dim=16",
    "encoder.heads=2",
    "encoder.depth=1",
    "method_options.token_weight=1",
];

fn run(recipe: &Recipe, out: &Path) -> Report {
    pretrain(recipe, &PretrainOptions::new(out), &mut NoObserver).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(recipe: &Recipe, options: &PretrainOptions) -> String {
    pretrain(recipe, options, &mut NoObserver).expect_err("it cannot be used").to_string()
}

/// Ends a run after step 4, as a kill would.
struct Killer;

impl Observer for Killer {
    fn on_step(&mut self, report: &StepReport) {
        if report.at.step == 4 {
            resume_unwind(Box::new("killed"));
        }
    }
}

/// Starts a run with a checkpoint after step 3, and kills it.
fn start_and_kill(recipe: &Recipe, out: &Path) {
    let mut recipe = recipe.clone();
    (recipe.checkpoint.every_epochs, recipe.checkpoint.every_steps) = (0, Some(3));
    let options = PretrainOptions::new(out);
    assert!(catch_unwind(AssertUnwindSafe(|| pretrain(&recipe, &options, &mut Killer))).is_err());
}

/// The recipe of a run, as `--resume` takes it.
fn of_run(out: &Path) -> Recipe {
    Draft::of_run(out).and_then(|draft| Ok(draft.finish()?)).expect("the recipe of the run")
}

fn resuming(out: &Path) -> PretrainOptions {
    PretrainOptions { resume: true, ..PretrainOptions::new(out) }
}

#[test]
fn a_run_teaches_another_network_and_is_in_none_of_its_files() {
    let place = Place::new();
    let mut simclr = Recipe::named("simclr/cifar10-quick").expect("a recipe of the library");
    (simclr.data.path, simclr.data.limit) = ("demo:train".into(), Some(24));
    (simclr.schedule.batch_size, simclr.schedule.epochs, simclr.encoder.width) = (8, 1, 6);
    run(&simclr, &place.path("teacher"));

    let report = run(&taught(&place.text("teacher"), &[]), &place.path("student"));
    assert!(report.finished && report.train_loss.is_finite(), "{report:?}");
    let recipe = of_run(&place.path("student"));
    let option = |key: &str| recipe.method_options[key].clone();
    assert_eq!(option("teacher").as_str(), Some(&*place.text("teacher")));
    assert_eq!(
        (option("teacher_dim").as_integer(), option("teacher_hash").as_str().map(str::len)),
        (Some(48), Some(16))
    );
    let state = fs::metadata(place.path("student/checkpoints/last/state.safetensors")).expect("a checkpoint");
    assert!(state.len() < 1000, "the state of the run has {} bytes", state.len());
}

#[test]
fn features_and_tokens_come_from_a_file_without_a_description_too() {
    let place = Place::new();
    // A ViT-Tiny of the usual size, whose positions say that its images have 16 pixels: those of the views differ.
    let theirs = EncoderConfig { patch_size: Some(4), ..EncoderConfig::named("vit-tiny") };
    write_plain(&theirs, 16, &place.path("timm.safetensors"));
    let recipe = taught(&place.text("timm.safetensors"), &OF_TOKENS);
    let report = run(&recipe, &place.path("student"));
    assert!(report.finished && report.train_loss.is_finite(), "{report:?}");
    assert_eq!(of_run(&place.path("student")).method_options["teacher_dim"].as_integer(), Some(192));

    write_plain(&EncoderConfig { width: 64, ..resnet() }, 32, &place.path("torchvision.safetensors"));
    let report = run(&taught(&place.text("torchvision.safetensors"), &[]), &place.path("resnet"));
    assert!(report.finished && report.train_loss.is_finite(), "{report:?}");
}

#[test]
fn the_teacher_gets_its_images_as_its_file_says() {
    let place = Place::new();
    let own = |mean, std| Preprocessing::new(32).with_normalization(mean, std);
    // The student's own mean and deviation, and others.
    let same = own([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
    for (name, preprocessing) in [("same", same), ("again", same), ("other", own([0.0; 3], [1.0; 3]))] {
        write(&vit(), preprocessing, 1, &place.path(name));
    }
    let loss = |name: &str| {
        run(&taught(&place.text(name), &OF_TOKENS), &place.path(&format!("run-{name}"))).train_loss
    };
    let [same, again, other] = ["same", "again", "other"].map(loss);
    assert_eq!(same, again);
    assert_ne!(same, other);
}

#[test]
fn a_run_goes_on_with_the_same_teacher_from_another_place_and_with_no_other() {
    let place = Place::new();
    write(&resnet(), Preprocessing::new(32), 1, &place.path("teacher"));
    let recipe = taught(&place.text("teacher"), &[]);
    run(&recipe, &place.path("whole"));
    start_and_kill(&recipe, &place.path("killed"));

    // The same path, and other weights.
    fs::rename(place.path("teacher"), place.path("moved")).expect("writable");
    write(&resnet(), Preprocessing::new(32), 2, &place.path("teacher"));
    let out = place.path("killed");
    let error = refused(&of_run(&out), &resuming(&out));
    assert!(error.starts_with(&format!("the teacher {} has the hash ", place.text("teacher"))), "{error}");
    assert!(error.ends_with("expected the teacher that the recipe was made with, or no such key"), "{error}");
    // A recipe that does not know which one it was.
    let mut unhashed = recipe.clone();
    (unhashed.checkpoint.every_epochs, unhashed.checkpoint.every_steps) = (0, Some(3));
    let error = refused(&unhashed, &resuming(&out));
    assert!(error.contains("method_options.teacher_hash is"), "{error}");

    let mut moved = of_run(&out);
    moved.method_options.insert("teacher".to_owned(), place.text("moved").into());
    let report = pretrain(&moved, &resuming(&out), &mut NoObserver).expect("the same weights");
    assert!(report.finished);
    let student =
        |run: &str| fs::read(place.path(run).join("checkpoints/last/student.safetensors")).expect("a run");
    assert!(student("whole") == student("killed"), "another student");
}

#[test]
fn what_a_run_has_learned_is_read_without_its_teacher() {
    let place = Place::new();
    write(&resnet(), Preprocessing::new(32), 1, &place.path("teacher"));
    start_and_kill(&taught(&place.text("teacher"), &[]), &place.path("run"));
    fs::remove_file(place.path("teacher")).expect("writable");
    let error = refused(&of_run(&place.path("run")), &resuming(&place.path("run")));
    assert!(error.starts_with(&format!("cannot access the weights {}", place.text("teacher"))), "{error}");

    let source = EncoderSource::Run(place.path("run"));
    let options =
        EmbedOptions { limit: Some(4), ..EmbedOptions::new(source, "demo:test", place.path("a.npy")) };
    let report = embed_images(&options).expect("the encoder of the checkpoint");
    assert_eq!(report.images, 4);
}

#[test]
fn a_teacher_that_cannot_be_used_is_refused_in_a_sentence_before_anything_is_written() {
    let place = Place::new();
    write(&vit(), Preprocessing::new(32), 1, &place.path("vit"));
    write(&resnet(), Preprocessing::new(32), 1, &place.path("resnet"));
    fs::write(place.path("text"), "no weights").expect("writable");
    let plain = EncoderConfig { width: 4, ..EncoderConfig::named("resnet18") };
    write_plain(&plain, 32, &place.path("plain.safetensors"));
    let out = place.path("out");
    let error = |recipe: &Recipe| {
        let said = refused(recipe, &PretrainOptions::new(&out));
        assert!(!out.exists(), "{said}: a directory was left behind");
        said
    };
    let none = error(&recipe(&[]));
    assert_eq!(
        none,
        "the recipe names no teacher: expected a run or a file of weights in method_options.teacher"
    );
    let missing = error(&taught(&place.text("missing"), &[]));
    assert!(
        missing.starts_with(&format!("cannot access the weights {}: ", place.text("missing"))),
        "{missing}"
    );
    let no_weights = error(&taught(&place.text("text"), &[]));
    assert!(
        no_weights.starts_with(&format!("{} is not a usable weight file", place.text("text"))),
        "{no_weights}"
    );

    let tokens = error(&taught(&place.text("resnet"), &OF_TOKENS));
    assert_eq!(
        tokens,
        "method_options.token_weight is 1 for a student with patches of 4 pixels and a teacher with no tokens, expected \
         0, or networks with patches of one size"
    );
    let coarse: Vec<_> = OF_TOKENS.iter().copied().chain(["encoder.patch_size=8"]).collect();
    let apart = error(&taught(&place.text("vit"), &coarse));
    assert!(apart.contains("patches of 8 pixels and a teacher with patches of 4 pixels"), "{apart}");
    let views = error(&taught(&place.text("vit"), &["views[0].size=30"]));
    assert_eq!(
        views,
        "the views are 30 pixels wide, and the patches of the teacher 4: expected a multiple of that in views[0].size, or \
         another teacher"
    );
    let resnet = error(&taught(&place.text("vit"), &["method_options.token_weight=1"]));
    assert!(resnet.starts_with("this method needs an encoder with a token for every patch"), "{resnet}");
}

#[test]
fn a_teacher_is_not_overwritten_by_its_student() {
    let place = Place::new();
    let out = place.path("run");
    fs::create_dir(&out).expect("writable");
    write(&resnet(), Preprocessing::new(32), 1, &out.join("encoder.safetensors"));
    let teacher = place.text("run/encoder.safetensors");
    let options = PretrainOptions { overwrite: true, ..PretrainOptions::new(&out) };
    let error = refused(&taught(&teacher, &[]), &options);
    assert!(
        error.ends_with("is what training starts from: expected another directory for the output"),
        "{error}"
    );
    assert!(Path::new(&teacher).is_file());
}
