//! Every rule of the doctor speaks of a run that is broken on purpose, and none of healthy ones.

mod doubles;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn_ssl::core::Progress;
use burn_ssl::data::OpConfig;
use burn_ssl::recipe::{Draft, NamedDraft};
use burn_ssl::registry::{METHODS, resolve_options};
use burn_ssl::train::{Finding, OnCollapse, TrainError};
use burn_ssl::{Error, NoObserver, Observer, PretrainOptions, Recipe, pretrain, pretrain_with};

use crate::Killer;
use doubles::{Bare, NoOptions};

/// The rules that spoke of a run, by the rows of its metrics.
pub(crate) fn findings(run: &Path) -> Vec<String> {
    let rows = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let found = rows.lines().filter_map(|row| serde_json::from_str::<Finding>(row).ok());
    found.map(|finding| finding.rule).collect()
}

/// Stops a run when a rule has spoken.
struct Listener {
    rule: &'static str,
    heard: Option<Finding>,
}

impl Observer for Listener {
    fn on_finding(&mut self, _at: Progress, finding: &Finding) {
        if finding.rule == self.rule {
            self.heard = Some(finding.clone());
        }
    }

    fn stop(&self) -> bool {
        self.heard.is_some()
    }
}

/// The recipe of the library with this name.
fn named(name: &str) -> Draft {
    Draft::named(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A short recipe on rendered images of 16 pixels, with some changes.
fn recipe(name: &str, changes: &[&str]) -> Recipe {
    short(named(name), changes)
}

/// [`recipe`] of a recipe that is not of the library.
fn short(mut draft: Draft, changes: &[&str]) -> Recipe {
    let Recipe { method, method_options, encoder, .. } = draft.clone().finish().expect("it is whole");
    let network: &[&str] = match encoder.is_vit() {
        true => &["encoder.embed_dim=24", "encoder.depth=2", "encoder.heads=2"],
        false => &["encoder.width=4"],
    };
    let options = resolve_options(&method, &method_options).expect("usable");
    let taught =
        options.contains_key("teacher").then(|| draft.set("method_options.teacher", crate::teacher()));
    taught.transpose().expect("it has the section");
    draft.set_image_size(16).expect("it has views");
    let short = [
        "data.path=demo:train",
        "data.limit=128",
        "schedule.batch_size=32",
        "schedule.epochs=10",
        "schedule.warmup_epochs=0",
    ];
    for change in network.iter().chain(&short).chain(changes) {
        draft.assign(change).unwrap_or_else(|error| panic!("{method}, {change}: {error}"));
    }
    draft.finish().expect("usable")
}

/// Runs a recipe until a rule speaks, and gives what it recommends.
fn remedy(rule: &'static str, recipe: &Recipe, double: Option<Bare>) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
    let mut listener = Listener { rule, heard: None };
    let ended = match double {
        Some(double) => pretrain_with(NoOptions {}, |_| Ok(double), recipe, &options, &mut listener),
        None => pretrain(recipe, &options, &mut listener),
    };
    ended.unwrap_or_else(|error| panic!("{}: {error}", recipe.method));
    let found = findings(&options.out);
    assert_eq!(found.iter().filter(|found| *found == rule).count(), 1, "{rule}, {double:?}: {found:?}");
    let remedy = listener.heard.expect("it was written").remedy;
    check_usable(&remedy, &options.out);
    remedy
}

/// Fails unless a remedy can be typed as it is, after `--set`.
fn check_usable(remedy: &str, run: &Path) {
    let mut draft = Draft::of_run(run).expect("the recipe of the run");
    draft.assign(remedy).unwrap_or_else(|error| panic!("{remedy}: {error}"));
    let recipe = draft.finish().unwrap_or_else(|error| panic!("{remedy}: {error}"));
    let images = burn_ssl::images::open(&recipe.data.path, recipe.data.limit);
    images.unwrap_or_else(|error| panic!("{remedy}: {error}"));
}

/// [`remedy`] of a method of the library.
fn remedy_of(rule: &'static str, name: &str, changes: &[&str]) -> String {
    remedy(rule, &recipe(name, changes), None)
}

#[test]
fn simsiam_without_a_predictor_or_without_a_stopped_gradient_collapses() {
    let mut recipe = recipe("simsiam/cifar10-quick", &["optimizer.lr=2", "schedule.epochs=40"]);
    (recipe.method, recipe.method_options) = ("bare".to_owned(), toml::Table::new());
    for double in [Bare::WithoutPredictor, Bare::WithoutStopGradient] {
        assert_eq!(remedy("loss-at-floor", &recipe, Some(double)), "optimizer.lr=0.2");
    }
}

/// The step of a checkpoint.
fn step_of(checkpoint: &Path) -> u64 {
    let meta = fs::read(checkpoint.join("meta.json")).expect("a checkpoint");
    let meta: serde_json::Value = serde_json::from_slice(&meta).expect("it was written whole");
    meta["step"].as_u64().expect("a number of steps")
}

/// The rate rises until the network collapses, and two checkpoints more are written before that is certain. There is one row for each
/// epoch.
#[test]
fn the_checkpoint_from_before_a_collapse_is_kept_and_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rising = ["data.limit=160", "optimizer.lr=2", "schedule.epochs=40", "schedule.warmup_epochs=20"];
    let mut recipe = recipe("simsiam/cifar10-quick", &[&rising[..], &["eval.every_epochs=0"]].concat());
    (recipe.method, recipe.method_options) = ("bare".to_owned(), toml::Table::new());
    recipe.train.on_collapse = OnCollapse::Stop;
    let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
    let build = |_: &NoOptions| Ok(Bare::WithoutStopGradient);
    let ended = pretrain_with(NoOptions {}, build, &recipe, &options, &mut NoObserver);
    let ended = ended.expect_err("it collapses");
    let said = ended.to_string();
    let Error::Train(TrainError::Collapsed { step, finding, last_good: Some(good) }) = ended else {
        panic!("{said}")
    };
    assert_eq!((rows_with("lr", &options.out), step % 5), (step as usize / 5, 0), "a row for each epoch");
    assert!(finding.since > 5 && step == finding.since + 10, "{said}");
    let checkpoints = options.out.join("checkpoints");
    assert_eq!(
        (good.as_path(), step_of(&good)),
        (checkpoints.join("last-good").as_path(), finding.since - 5)
    );
    assert_eq!(step_of(&checkpoints.join("last")), finding.since + 5, "it has collapsed already");
    assert!(said.contains(&format!("(the last good checkpoint is {})", good.display())), "{said}");
}

#[test]
fn a_hundred_times_the_rate_collapses_dimensions() {
    let remedy = remedy_of("dimensions-collapsed", "simclr/cifar10-quick", &["optimizer.lr=12"]);
    assert_eq!(remedy, "optimizer.lr=1.2");
}

#[test]
fn a_temperature_of_ten_leaves_the_loss_at_that_of_guessing() {
    for (name, usual) in [("simclr/cifar10-quick", "0.1"), ("moco-v2/cifar10-quick", "0.2")] {
        let hot = ["method_options.temperature=10", "schedule.epochs=20"];
        let remedy = remedy_of("loss-of-guessing", name, &hot);
        assert_eq!(remedy, format!("method_options.temperature={usual}"), "{name}");
    }
}

#[test]
fn a_teacher_whose_centre_rests_puts_everything_on_one_output() {
    let resting = ["method_options.center_momentum=1", "optimizer.lr=1", "schedule.epochs=60"];
    for rule in ["center-at-rest", "teacher-on-one-output"] {
        assert_eq!(remedy_of(rule, "dino/cifar10-quick", &resting), "method_options.center_momentum=0.9");
    }
}

#[test]
fn a_teacher_that_does_not_sharpen_is_undecided() {
    let flat = ["method_options.teacher_temperature=1", "method_options.warmup_teacher_temperature=1"];
    let remedy = remedy_of("teacher-undecided", "dino/cifar10-quick", &flat);
    assert_eq!(remedy, "method_options.teacher_temperature=0.04");
}

#[test]
fn one_prototype_leaves_nothing_to_learn() {
    for (rule, name, usual) in [
        ("one-prototype", "swav/cifar10-quick", 3000),
        ("gradient-vanished", "swav/cifar10-quick", 3000),
        ("one-prototype", "msn/cifar10-quick", 1024),
    ] {
        let one = remedy_of(rule, name, &["method_options.prototypes=1"]);
        assert_eq!(one, format!("method_options.prototypes={usual}"), "{rule} of {name}");
    }
}

#[test]
fn without_a_balance_of_prototypes_all_images_come_to_one() {
    let free = [
        "method_options.sinkhorn_iterations=0",
        "method_options.regularization_weight=0",
        "method_options.prototypes=8",
        "optimizer.lr=0.1",
    ];
    let remedy = remedy_of("one-prototype", "msn/cifar10-quick", &free);
    assert_eq!(remedy, "method_options.sinkhorn_iterations=3");
}

/// A folder of images that are all the same.
fn same_images(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    fs::create_dir(&images).expect("writable");
    for index in 0..64 {
        let grey = image::RgbImage::from_pixel(16, 16, image::Rgb([90, 120, 100]));
        grey.save(images.join(format!("{index}.png"))).expect("writable");
    }
    images
}

#[test]
fn images_that_are_all_the_same_have_the_same_embedding() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut recipe = recipe("simsiam/cifar10-quick", &["optimizer.lr=0.2"]);
    recipe.data.path = same_images(dir.path());
    recipe.views[0].ops.clear();
    for rule in ["embeddings-collapsed", "gradient-vanished"] {
        // No rate would help.
        assert_eq!(remedy(rule, &recipe, None), "data.path=demo:train");
    }
}

#[test]
fn images_that_are_all_the_same_end_a_run_that_is_to_stop() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (same_images(dir.path()), dir.path().join("run"));
    let mut recipe = recipe("simclr/cifar10-quick", &[]);
    (recipe.data.path, recipe.train.on_collapse) = (images, OnCollapse::Stop);
    let ended =
        pretrain(&recipe, &PretrainOptions::new(&out), &mut NoObserver).expect_err("nothing to learn");
    let Error::Train(TrainError::Collapsed { step: 0, finding, last_good: None }) = ended else {
        panic!("{ended}")
    };
    assert_eq!((finding.rule.as_str(), findings(&out)), ("images-alike", vec![finding.rule.clone()]));
    assert_eq!(finding.remedy, "data.path=demo:train");
    check_usable(&finding.remedy, &out);
    assert!(!out.join("checkpoints/last").exists() && !out.join("encoder.safetensors").exists());
    let page = fs::read_to_string(out.join("report.html")).expect("a page of a run that was stopped, too");
    assert!(page.contains("images-alike, since step 0"), "the page lacks the finding");
}

#[test]
fn a_run_that_has_collapsed_ends_when_it_is_resumed_to_stop() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut recipe = recipe("simsiam/cifar10-quick", &["optimizer.lr=0.2"]);
    recipe.data.path = same_images(dir.path());
    recipe.views[0].ops.clear();
    let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
    let mut listener = Listener { rule: "embeddings-collapsed", heard: None };
    pretrain(&recipe, &options, &mut listener).expect("a warning");
    let until = listener.heard.expect("it was written").since;

    recipe.train.on_collapse = OnCollapse::Stop;
    let resumed = PretrainOptions { resume: true, ..options };
    let ended = pretrain(&recipe, &resumed, &mut NoObserver).expect_err("it has collapsed");
    let Error::Train(TrainError::Collapsed { step, .. }) = ended else { panic!("{ended}") };
    assert!(step > until, "collapsed at step {until}, and ended at step {step}");
}

#[test]
fn views_that_take_longer_than_the_network_are_waited_for() {
    let mut recipe = recipe("simclr/cifar10-quick", &["schedule.epochs=10000", "data.workers=1"]);
    let jitter = recipe.views[0].ops.iter().find(|op| matches!(op, OpConfig::ColorJitter { .. }));
    recipe.views[0].ops = vec![jitter.expect("SimCLR jitters colours").clone(); 2000];
    assert_eq!(remedy("waiting-for-data", &recipe, None), "data.workers=2");
}

#[test]
fn a_queue_of_many_epochs_is_told_once_also_by_a_run_that_was_killed() {
    let long = ["method_options.queue_len=1024", "schedule.epochs=3", "checkpoint.every_steps=5"];
    assert_eq!(remedy_of("queue-too-old", "moco-v2/cifar10-quick", &long), "method_options.queue_len=256");

    let dir = tempfile::tempdir().expect("a temporary folder");
    let recipe = recipe("moco-v2/cifar10-quick", &long);
    let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
    let death = catch_unwind(AssertUnwindSafe(|| pretrain(&recipe, &options, &mut Killer)));
    assert!(death.is_err() && findings(&options.out) == ["queue-too-old"]);
    let resumed = PretrainOptions { resume: true, ..options };
    pretrain(&recipe, &resumed, &mut NoObserver).expect("it goes on");
    assert_eq!(findings(&resumed.out), ["queue-too-old"], "nothing is said twice");
    // A finding that a kill kept from being written is made up for.
    let metrics = resumed.out.join("metrics.jsonl");
    let rows = fs::read_to_string(&metrics).expect("metrics");
    let without: String = rows.split_inclusive('\n').filter(|row| !row.contains("queue-too-old")).collect();
    fs::write(&metrics, without).expect("writable");
    let longer = Recipe {
        schedule: burn_ssl::train::ScheduleConfig { epochs: 4, ..recipe.schedule.clone() },
        ..recipe
    };
    pretrain(&longer, &resumed, &mut NoObserver).expect("it goes on");
    assert_eq!(findings(&resumed.out), ["queue-too-old"], "nothing is forgotten");
}

/// Both views of an image leave a key: three keys for each image are one epoch and a half.
#[test]
fn a_queue_that_both_views_fill_is_half_as_old() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let fresh = ["method_options.queue_len=384", "schedule.epochs=2"];
    let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
    pretrain(&recipe("moco-v2/cifar10-quick", &fresh), &options, &mut NoObserver).expect("a run");
    assert_eq!(findings(&options.out), [""; 0]);
}

/// Steps between two rows of metrics, which are an epoch here.
const ROW: usize = 10;
/// Epochs of a healthy run, four more than the rows that the slowest rule has to see.
const EPOCHS: usize = 12;

/// What options of the method may be at most. Queue and prototypes shrink as the batch does; heads are as narrow as
/// goes with features of a quarter of the recipes' length.
const MOST: [(&str, i64); 8] = [
    ("hidden_dim", 128),
    ("output_dim", 128),
    ("patch_hidden_dim", 128),
    ("patch_output_dim", 128),
    ("predictor_dim", 32),
    ("predictor_heads", 2),
    ("queue_len", 512),
    ("prototypes", 32),
];

/// A recipe for a short run, with everything that keeps it healthy: the rate follows the batch, and an epoch has as many steps as
/// there are between two rows, so that rules which wait for epochs wait as long as in real runs.
fn healthy(draft: &Draft) -> Recipe {
    let Recipe { method, method_options: options, schedule, .. } =
        draft.clone().finish().expect("it is whole");
    let narrow = MOST.iter().filter(|(option, most)| {
        options.get(*option).and_then(toml::Value::as_integer).is_some_and(|value| value > *most)
    });
    let narrow: Vec<String> =
        narrow.map(|(option, most)| format!("method_options.{option}={most}")).collect();
    let length = [
        format!("data.limit={}", 64 * ROW),
        "schedule.batch_size=64".to_owned(),
        format!("optimizer.lr_scale_batch={}", schedule.batch_size),
        format!("schedule.epochs={EPOCHS}"),
        "schedule.warmup_epochs=1".to_owned(),
        "eval.every_epochs=4".to_owned(),
    ];
    let mut changes: Vec<&str> = length.iter().chain(&narrow).map(String::as_str).collect();
    if method.starts_with("dcl") {
        // `plan` advises so, where an image has so few others.
        changes.push("method_options.temperature=0.2");
    }
    short(draft.clone(), &changes)
}

/// The recipes for short runs, and of those methods that are used with both kinds of networks the other one.
fn of_all_methods() -> Vec<(String, Draft)> {
    let quick = METHODS.iter().map(|method| format!("{}/cifar10-quick", method.name));
    let named = quick.chain(["moco-v3/cifar10-vit".to_owned()]).map(|name| (name.clone(), named(&name)));
    named.chain([("dino on a ViT".to_owned(), dino_on_a_vit())]).collect()
}

/// DINO as it is used on a ViT: with AdamW, and without batch norm.
fn dino_on_a_vit() -> Draft {
    let mut draft = named("dino/cifar10-quick");
    draft.set_model("vit-tiny").expect("a model");
    for change in [
        "encoder.patch_size=4",
        "optimizer.name=adamw",
        "optimizer.lr=0.001",
        "method_options.bn_in_head=false",
    ] {
        draft.assign(change).unwrap_or_else(|error| panic!("{change}: {error}"));
    }
    draft
}

/// The number of rows of metrics that have a key.
fn rows_with(key: &str, run: &Path) -> usize {
    let rows = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    rows.lines().filter(|row| row.contains(&format!("\"{key}\":"))).count()
}

/// Runs the healthy recipes with one kind of networks.
fn raise_nothing(on_a_vit: bool) {
    let recipes = of_all_methods().into_iter().map(|(name, draft)| (name, healthy(&draft)));
    let recipes: Vec<_> = recipes.filter(|(_, recipe)| recipe.encoder.is_vit() == on_a_vit).collect();
    assert!(recipes.len() > 7, "recipes are missing");
    for (name, recipe) in recipes {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = PretrainOptions { report: false, ..PretrainOptions::new(dir.path().join("run")) };
        let ended = pretrain(&recipe, &options, &mut NoObserver);
        let report = ended.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(findings(&options.out), [""; 0], "{name} is healthy: {report:?}");
        // All rules had enough to look at.
        assert_eq!((report.finished, report.steps), (true, (EPOCHS * ROW) as u64), "{name}");
        let rows = ["lr", "rankme_train"].map(|key| rows_with(key, &options.out));
        assert_eq!(rows, [EPOCHS, 1 + EPOCHS / 4], "{name}");
    }
}

#[test]
fn healthy_runs_on_a_resnet_raise_nothing() {
    raise_nothing(false);
}

#[test]
fn healthy_runs_on_a_vit_raise_nothing() {
    raise_nothing(true);
}
