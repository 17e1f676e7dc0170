//! Every method and every recipe of the library, narrowed to a few steps on rendered images.

mod doctor;
mod matrix;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::LazyLock;

use burn_ssl::core::{DeviceSpec, Init};
use burn_ssl::data::MaskConfig;
use burn_ssl::encoders::{Artifact, EncoderConfig, Preprocessing, weights};
use burn_ssl::recipe::{Draft, RecipeName};
use burn_ssl::recipe::{NamedDraft, NamedRecipe};
use burn_ssl::registry::{METHODS, resolve_options};
use burn_ssl::train::StepReport;
use burn_ssl::{
    NoObserver, Observer, PlanOptions, PretrainOptions, PreviewOptions, Recipe, Report, plan, plan_encoder,
    plan_with_encoder, pretrain, pretrain_with_encoder, preview,
};

/// Narrow heads; queues, freezes and warm-ups that begin or end in the fifth step or later, of nine in three epochs. A method
/// gets those that it has as options.
const NARROW: &[(&str, &str)] = &[
    ("output_dim", "16"),
    ("hidden_dim", "16"),
    ("predictor_dim", "8"),
    ("bottleneck_dim", "8"),
    ("patch_hidden_dim", "16"),
    ("patch_bottleneck_dim", "8"),
    ("patch_output_dim", "12"),
    ("momentum_end", "1"),
    ("queue_len", "20"),
    ("queue_start_epoch", "1"),
    ("prototypes", "10"),
    ("freeze_prototypes_steps", "5"),
    ("freeze_last_layer_epochs", "2"),
    ("teacher_temperature", "0.07"),
    ("warmup_teacher_temperature_epochs", "2"),
    ("decoder_dim", "16"),
    ("decoder_depth", "1"),
    ("decoder_heads", "2"),
    ("predictor_depth", "1"),
    ("predictor_heads", "2"),
];

/// A recipe with narrow networks, for 24 rendered images: three steps of 8 in an epoch.
fn draft(name: &str) -> Draft {
    draft_on(name, None)
}

/// [`draft`] with another network than the recipe's.
fn draft_on(name: &str, model: Option<&str>) -> Draft {
    let mut draft = Draft::named(name).expect("a recipe of the library");
    model.map(|model| draft.set_model(model)).transpose().expect("it has a network");
    let recipe = draft.clone().finish().expect("it is whole");
    for (key, value) in [("data.limit", 24), ("schedule.batch_size", 8), ("schedule.epochs", 3)] {
        draft.set(key, value).expect("it has the section");
    }
    let options = resolve_options(&recipe.method, &recipe.method_options).expect("usable");
    let narrow = NARROW.iter().filter(|(option, _)| options.contains_key(*option));
    let network: &[&str] = match (recipe.encoder.is_vit(), recipe.encoder.bn_splits) {
        (true, _) => &["encoder.name=vit-tiny", "encoder.patch_size=4", "encoder.heads=3"],
        (false, 1) => &["encoder.width=4"],
        (false, _) => &["encoder.width=4", "encoder.bn_splits=2"],
    };
    if let Some(MaskConfig::Random(_)) = recipe.mask {
        // Squares of several patches would not divide every image.
        draft.assign("mask.unit=1").expect("it has the section");
    }
    let narrow = narrow.map(|(option, value)| format!("method_options.{option}={value}"));
    let taught = options.contains_key("teacher").then(|| draft.set("method_options.teacher", teacher()));
    taught.transpose().expect("it has the section");
    let others = network.iter().chain(&["data.path=demo:train", "schedule.warmup_epochs=1"]);
    let heads = if recipe.encoder.is_vit() { "vit" } else { "resnet" };
    let fitting = options.get("heads").map(|_| format!("method_options.heads={heads}"));
    for assignment in narrow.chain(fitting).chain(others.map(|assignment| (*assignment).to_owned())) {
        draft.assign(&assignment).expect("it has the section");
    }
    draft
}

/// The weights of a ViT with patches of 4 pixels, for methods that learn from a frozen network.
fn teacher() -> &'static str {
    static FILE: LazyLock<String> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("teacher.safetensors");
        let config = EncoderConfig {
            patch_size: Some(4),
            embed_dim: Some(24),
            depth: Some(1),
            heads: Some(2),
            ..EncoderConfig::named("vit-tiny")
        };
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let network = config.init(32, &mut Init::new(7, &device)).expect("usable");
        weights::save(&network, &path, &Artifact::new(&config, Preprocessing::new(32))).expect("writable");
        path.to_str().expect("a path that is text").to_owned()
    });
    &FILE
}

fn narrowed(name: &str) -> Recipe {
    draft(name).finish().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn run(recipe: &Recipe, out: &Path) -> Report {
    let report = pretrain(recipe, &PretrainOptions::new(out), &mut NoObserver);
    report.unwrap_or_else(|error| panic!("{}: {error}", recipe.method))
}

/// Every file that a run leaves for later, and what is in it.
fn kept(run: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let names = [
        "encoder.safetensors",
        "checkpoints/last/student.safetensors",
        "checkpoints/last/state.safetensors",
        "checkpoints/last/optimizer.safetensors",
    ];
    names.map(|name| (name, fs::read(run.join(name)).expect("a finished run"))).into()
}

/// Ends the run after step 6, as a kill would: nothing is written any more.
struct Killer;

impl Observer for Killer {
    fn on_step(&mut self, report: &StepReport) {
        if report.at.step == 6 {
            resume_unwind(Box::new("killed"));
        }
    }
}

#[test]
fn every_recipe_trains_at_a_finite_loss_and_ends_with_a_report() {
    for name in RecipeName::all() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut draft = draft(name.as_str());
        // 28 pixels hold 7 patches of 4 a side, and the smaller crops of a multi-crop then hold 3.
        draft.set_image_size(28).expect("it has views");
        let is_vit = draft.clone().finish().expect("usable").encoder.is_vit();
        let steps = if is_vit { 1 } else { 3 };
        draft.set("schedule.max_steps", steps).expect("it has a schedule");
        let out = dir.path().join("run");
        let report = run(&draft.finish().expect("usable"), &out);
        assert!(report.steps == steps as u64 && report.train_loss.is_finite(), "{name}: {report:?}");
        // A report that cannot be written, or not whole, is only a warning.
        let html =
            fs::read_to_string(out.join("report.html")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let whole = ["map", "looks"].map(|section| html.contains(&format!("<section id=\"{section}\"")));
        assert!(whole == [true; 2] && !html.contains("not be shown"), "{name}: {whole:?}");
    }
}

#[test]
fn a_killed_run_of_every_method_goes_on_to_the_bytes_of_an_undisturbed_one() {
    for method in METHODS {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
        let mut recipe = narrowed(&format!("{}/cifar10", method.name));
        let report = run(&recipe, &whole);
        assert!(report.finished && report.steps == 9, "{report:?}");

        recipe.checkpoint.every_epochs = 0;
        recipe.checkpoint.every_steps = Some(4);
        let options = PretrainOptions::new(&killed);
        let death = catch_unwind(AssertUnwindSafe(|| pretrain(&recipe, &options, &mut Killer)));
        assert!(death.is_err() && !killed.join("encoder.safetensors").exists(), "{}", method.name);
        let resumed = PretrainOptions { resume: true, ..options };
        let report = pretrain(&recipe, &resumed, &mut NoObserver);
        let report = report.unwrap_or_else(|error| panic!("{}: {error}", method.name));
        assert!(report.finished && report.steps == 9, "{report:?}");
        for (file, bytes) in kept(&whole) {
            assert!(kept(&killed)[file] == bytes, "{}: {file} differs", method.name);
        }
        for out in [&whole, &killed] {
            assert_eq!(doctor::findings(out), [""; 0], "{} is healthy", method.name);
        }
    }
}

/// A run of before MoCo had `shuffle` has a recipe without that key.
#[cfg(feature = "moco")]
#[test]
fn a_run_that_is_older_than_an_option_goes_on_with_its_default() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let mut recipe = narrowed("moco-v2/cifar10");
    recipe.checkpoint.every_steps = Some(4);
    let options = PretrainOptions::new(&out);
    let death = catch_unwind(AssertUnwindSafe(|| pretrain(&recipe, &options, &mut Killer)));
    assert!(death.is_err(), "it was killed");
    let file = out.join("recipe.toml");
    let text = fs::read_to_string(&file).expect("the recipe of the run");
    let old: String = text.split_inclusive('\n').filter(|line| *line != "shuffle = true\n").collect();
    assert_ne!(old, text, "a run writes the option down");
    fs::write(&file, old).expect("a writable folder");

    let resumed = PretrainOptions { resume: true, ..options };
    let old = Draft::of_run(&out).and_then(|draft| Ok(draft.finish()?)).expect("the recipe of the run");
    let mut other = old.clone();
    other.method_options.insert("shuffle".to_owned(), false.into());
    let error = pretrain(&other, &resumed, &mut NoObserver).expect_err("another method").to_string();
    assert!(error.contains("method_options.shuffle"), "{error}");
    let report = pretrain(&old, &resumed, &mut NoObserver).expect("the same method");
    assert!(report.finished && report.steps == 9, "{report:?}");
}

#[test]
fn every_recipe_has_a_sheet_of_its_views() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in RecipeName::all() {
        let mut recipe = Recipe::named(name.as_str()).expect("a recipe of the library");
        (recipe.data.path, recipe.data.limit) = ("demo:train".into(), Some(2));
        let out = dir.path().join(format!("{}.png", name.as_str().replace('/', "-")));
        let drawn = preview(&recipe, &PreviewOptions { images: 2, ..PreviewOptions::new(&out) });
        assert_eq!(drawn.unwrap_or_else(|error| panic!("{name}: {error}")).images, 2);
        // All pixels of the views are there, in two rows; small crops are packed.
        let pixels: usize = recipe.views.iter().map(|view| view.count * view.size * view.size).sum();
        let sheet = image::open(&out).expect("a PNG");
        let (width, height) = (sheet.width() as usize, sheet.height() as usize);
        assert!(width * height > 2 * pixels, "{name}: {width} x {height}");
    }
}

/// The answer to a recipe that does not fit its method; nothing may be left behind.
#[cfg(any(feature = "moco", feature = "swav", feature = "dino"))]
fn refused(name: &str, changes: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let mut draft = draft(name);
    changes.iter().for_each(|change| draft.assign(change).expect("it has the section"));
    let recipe = draft.finish().expect("usable by itself");
    let error = pretrain(&recipe, &PretrainOptions::new(&out), &mut NoObserver).expect_err("it does not fit");
    assert!(!out.exists(), "{name} left a directory behind");
    error.to_string()
}

#[cfg(feature = "moco")]
#[test]
fn a_queue_groups_and_heads_that_moco_cannot_use_are_named() {
    assert_eq!(
        refused("moco-v2/cifar10", &["method_options.queue_len=15"]),
        "method_options.queue_len is 15 for the 16 keys of a batch of 8 images, expected at least as many"
    );
    assert_eq!(
        refused("moco-v1/cifar10", &["encoder.bn_splits=8"]),
        "encoder.bn_splits is 8 for batches of 8 images, expected 1, or a divisor of the batch that leaves every \
         group 2 images or more"
    );
    assert_eq!(
        refused("moco-v3/cifar10-vit", &["method_options.heads=resnet"]),
        "method_options.heads is 'resnet', expected 'vit' for a vision transformer"
    );
    assert_eq!(
        refused("moco-v3/cifar10", &["method_options.heads=vit"]),
        "method_options.heads is 'vit', expected 'resnet' for an encoder without tokens"
    );
}

#[cfg(feature = "swav")]
#[test]
fn a_queue_that_swav_cannot_use_is_named() {
    assert_eq!(
        refused("swav/cifar10", &["method_options.queue_len=7"]),
        "method_options.queue_len is 7 for batches of 8 images, expected at least as many, or 0 for no queue"
    );
}

#[cfg(feature = "dino")]
#[test]
fn large_views_have_to_come_first() {
    let expected = "pixels wide, in the order of the [[views]] blocks: expected 2 of one size first, and none larger \
                    after them";
    let one = refused("dino/cifar10", &["views[0].size=16"]);
    assert_eq!(one, format!("the views are [16, 32] {expected}"));
    let two = refused("dino/cifar10", &["views[0].size=16", "views[0].count=2"]);
    assert_eq!(two, format!("the views are [16, 16, 32] {expected}"));
}

#[cfg(feature = "moco")]
#[test]
fn an_encoder_of_split_batch_norm_is_evaluated_on_any_number_of_images() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut recipe = narrowed("moco-v2/cifar10");
    (recipe.eval.test, recipe.eval.limit) = (Some("demo:test".into()), Some(13));
    let report = run(&recipe, &dir.path().join("run"));
    assert!(report.knn_top1.is_some_and(f64::is_finite), "{report:?}");
}

/// Without steps, and with some of methods with a state, masks, small crops and a frozen teacher.
#[test]
fn every_method_can_be_planned_and_an_encoder_from_outside_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PlanOptions::new(PretrainOptions::new(dir.path().join("run")));
    for method in METHODS {
        let recipe = narrowed(&format!("{}/cifar10", method.name));
        let steps = ["moco-v2", "mae", "dino", "distill-features"].contains(&method.name);
        let options = PlanOptions { steps, ..options.clone() };
        let found = plan(&recipe, &options).unwrap_or_else(|error| panic!("{}: {error}", method.name));
        let measured = found.measured.is_some_and(|taken| taken.checkpoint_bytes > 0);
        assert_eq!((measured, found.cannot_work()), (steps, false), "{}: {found}", method.name);
        assert!(!options.run.out.exists(), "{} wrote something", method.name);
    }
    let net = |init: &mut Init| burn_ssl::encoders::ResNetConfig::resnet18().with_width(2).init(init);
    let found = plan_encoder("small-net", net, &narrowed("simclr/cifar10"), &options).expect("usable");
    assert_eq!((found.model.as_str(), found.expected_mem), ("small-net", None));
    assert!(found.measured.is_some());
}

/// SimCLR under another name is a method that the registry does not know.
#[cfg(feature = "simclr")]
#[test]
fn a_method_and_an_encoder_from_outside_train_together() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let mut recipe = narrowed("simclr/cifar10");
    (recipe.method, recipe.schedule.max_steps) = ("mine".into(), Some(2));
    let net = |init: &mut Init| burn_ssl::encoders::ResNetConfig::resnet18().with_width(2).init(init);
    let (config, build) = (burn_ssl::simclr::SimClrConfig::new(), burn_ssl::simclr::SimClrConfig::build);
    let plan = PlanOptions::new(PretrainOptions::new(&out));
    let plan = plan_with_encoder(config.clone(), build, "small-net", net, &recipe, &plan).expect("usable");
    assert_eq!((&*plan.method, &*plan.model, out.exists()), ("mine", "small-net", false));
    assert!(plan.measured.is_some_and(|taken| taken.checkpoint_bytes > 0));

    let train = |steps, resume| {
        let mut recipe = recipe.clone();
        recipe.schedule.max_steps = Some(steps);
        let options = PretrainOptions { resume, ..PretrainOptions::new(&out) };
        pretrain_with_encoder(config.clone(), build, "small-net", net, &recipe, &options, &mut NoObserver)
    };
    let report = train(2, false).expect("usable");
    assert!(report.finished && report.steps == 2 && report.train_loss.is_finite(), "{report:?}");
    assert_eq!(train(4, true).expect("it goes on").steps, 4);
    let about = Artifact::read(&out.join("encoder.safetensors")).expect("readable").expect("our own");
    assert_eq!((&*about.encoder.name, about.provenance.method.as_deref()), ("small-net", Some("mine")));
    assert!(out.join("report.html").is_file());

    let named = |method: &str, model| {
        let recipe = Recipe { method: method.into(), ..recipe.clone() };
        let options = PretrainOptions::new(dir.path().join("other"));
        let config = config.clone();
        let ended = pretrain_with_encoder(config, build, model, net, &recipe, &options, &mut NoObserver);
        ended.expect_err("a name of the library").to_string()
    };
    assert!(named("simclr", "small-net").contains("simclr"), "{}", named("simclr", "small-net"));
    assert!(named("mine", "resnet18").contains("a name that no model here has"));
}
