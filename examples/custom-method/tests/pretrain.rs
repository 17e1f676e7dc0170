//! A method that the library does not know gets what the others get.

use std::fs;
use std::path::Path;

use burn_ssl::Error;
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::train::StepReport;
use example_custom_method::AlignUniformConfig;

/// A run of four steps.
fn recipe() -> Recipe {
    let draft = Draft::parse("align-uniform.toml", include_str!("../align-uniform.toml")).expect("TOML");
    let mut recipe = draft.finish().expect("a recipe");
    recipe.encoder.width = 2;
    recipe.data.limit = Some(16);
    recipe.eval.test = None;
    (recipe.schedule.epochs, recipe.schedule.batch_size, recipe.schedule.warmup_epochs) = (2, 8, 0.0);
    recipe.method_options.insert("dim".into(), 16.into());
    recipe
}

fn run(recipe: &Recipe, options: &PretrainOptions, observer: &mut dyn Observer) -> Result<Report, Error> {
    pretrain_with(AlignUniformConfig::default(), AlignUniformConfig::build, recipe, options, observer)
}

/// Stops a run after one step.
#[derive(Default)]
struct OneStep(u64);

impl Observer for OneStep {
    fn on_step(&mut self, _: &StepReport) {
        self.0 += 1;
    }

    fn stop(&self) -> bool {
        self.0 == 1
    }
}

#[test]
fn a_resumed_run_writes_the_same_bytes_as_an_uninterrupted_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [whole, parts] = ["whole", "parts"].map(|name| PretrainOptions::new(dir.path().join(name)));
    assert!(run(&recipe(), &whole, &mut NoObserver).expect("a run").finished);
    assert!(!run(&recipe(), &parts, &mut OneStep::default()).expect("a part of a run").finished);
    let parts = PretrainOptions { resume: true, ..parts };
    assert_eq!(run(&recipe(), &parts, &mut NoObserver).expect("the rest").steps, 4);
    let bytes = |out: &Path| fs::read(out.join("encoder.safetensors")).expect("a finished run");
    assert_eq!(bytes(&whole.out), bytes(&parts.out));
}

#[test]
fn the_recipe_of_a_run_has_every_option_and_the_run_can_be_exported() {
    use burn_ssl::export::{ExportOptions, export};

    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PretrainOptions::new(dir.path().join("run"));
    assert_eq!(run(&recipe(), &options, &mut NoObserver).expect("a run").method, "align-uniform");
    let text = fs::read_to_string(options.out.join("recipe.toml")).expect("a recipe");
    for line in ["method = \"align-uniform\"", "dim = 16", "align_weight = 1.0"] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let out = dir.path().join("encoder.safetensors");
    let exported = export(&ExportOptions::new(options.out, out));
    assert!(exported.is_ok_and(|report| report.tensors > 0));
}

#[test]
fn a_run_ends_with_a_report_and_another_one_can_be_written() {
    use burn_ssl::{HtmlReportOptions, html_report};

    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PretrainOptions::new(dir.path().join("run"));
    run(&recipe(), &options, &mut NoObserver).expect("a run");
    let (of_the_run, other) = (options.out.join("report.html"), dir.path().join("other.html"));
    let again = HtmlReportOptions { out: Some(other.clone()), ..HtmlReportOptions::new(vec![options.out]) };
    html_report(&again).expect("a report");
    for page in [of_the_run, other] {
        let html = fs::read_to_string(page).expect("a page");
        assert!(html.contains("align-uniform") && html.contains("All 16 training images"));
        assert!(html.contains("<section id=\"map\"") && !html.contains("not be shown"));
    }
}

#[test]
fn unusable_options_and_the_name_of_another_method_are_refused_before_the_directory_is_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PretrainOptions::new(dir.path().join("run"));
    let error = |change: fn(&mut Recipe)| {
        let mut recipe = recipe();
        change(&mut recipe);
        run(&recipe, &options, &mut NoObserver).expect_err("unusable").to_string()
    };
    assert_eq!(
        error(|recipe| drop(recipe.method_options.insert("dim".into(), 0.into()))),
        "method_options.dim is 0, expected at least 1"
    );
    let key = error(|recipe| drop(recipe.method_options.insert("depth".into(), 3.into())));
    assert!(key.starts_with("unknown key 'method_options.depth': expected one of align_weight"), "{key}");
    assert_eq!(
        error(|recipe| recipe.method = "simclr".into()),
        "'simclr' is the name of a built-in method: expected another name for a custom method"
    );
    assert!(!options.out.exists());
}

#[test]
fn a_run_can_be_planned_and_its_batch_and_epochs_left_to_the_images() {
    use burn_ssl::{AutoOptions, PlanOptions, choose_auto_for, plan_with};

    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = PlanOptions::new(PretrainOptions::new(dir.path().join("run")));
    let recipe = recipe();
    let plan = plan_with(AlignUniformConfig::default(), AlignUniformConfig::build, &recipe, &options);
    let plan = plan.expect("a usable recipe");
    assert_eq!((plan.method.as_str(), plan.steps, plan.images), ("align-uniform", 4, 16));
    assert!(plan.measured.is_some_and(|measured| measured.seconds > 0.0) && !options.run.out.exists());

    let method = AlignUniformConfig::default().build().expect("usable");
    let mut draft = Draft::parse("its text", &recipe.to_toml().expect("TOML")).expect("TOML");
    draft.set("schedule.batch_size", "auto").expect("a key");
    let notes = choose_auto_for(&method, &mut draft, AutoOptions::default()).expect("16 images");
    assert!(notes[0].starts_with("schedule.batch_size is "), "{notes:?}");
    assert!(draft.finish().is_ok_and(|recipe| recipe.schedule.batch_size <= 16));
}
