//! Everything around a method works for every method, with a ResNet and with a ViT.

use std::fs;
use std::path::Path;

use burn_ssl::export::{ExportFormat, ExportOptions, export};
use burn_ssl::registry::{METHODS, needs};
use burn_ssl::{
    DedupOptions, EmbedOptions, EncoderSource, PlanOptions, PretrainOptions, Recipe, dedup, embed_images,
    plan,
};
use serde_json::Value;

use crate::{draft_on, run};

const STEPS: u64 = 3;
/// Test images of a run, which later are embedded and compared.
const IMAGES: usize = 12;

/// The sections of a page about a run in which nothing is wrong.
const SECTIONS: [&str; 10] =
    ["verdict", "curves", "accuracy", "views", "map", "neighbours", "clusters", "data", "looks", "facts"];

#[test]
fn every_method_with_a_resnet_is_evaluated_planned_exported_and_used() {
    for method in METHODS {
        let ended = all_of(method.name, "resnet18");
        match needs(method.name).expect("a method of the registry").tokens {
            true => assert!(ended.expect_err("it needs tokens").contains("ViT"), "{}", method.name),
            false => ended.unwrap_or_else(|error| panic!("{}: {error}", method.name)),
        }
    }
}

#[test]
fn every_method_with_a_vit_is_evaluated_planned_exported_and_used() {
    for method in METHODS {
        all_of(method.name, "vit-tiny").unwrap_or_else(|error| panic!("{}: {error}", method.name));
    }
}

/// Goes all the way with a method and a network.
///
/// # Errors
/// If the method takes no such network.
fn all_of(method: &str, model: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (recipe, out) = (recipe(method, model), dir.path().join("run"));
    let what = format!("{method}, {model}");
    check_plan(&what, &recipe, &dir.path().join("planned"))?;
    let report = run(&recipe, &out);
    assert!(report.finished && report.steps == STEPS && report.train_loss.is_finite(), "{what}: {report:?}");
    check_rows(&what, &out);
    check_page(&what, &out);
    check_export(&what, &out, &dir.path().join("encoder.onnx"));
    check_tables(&what, EncoderSource::Run(out), dir.path());
    Ok(())
}

/// The recipe of a method with a narrow network, on images with labels.
fn recipe(method: &str, model: &str) -> Recipe {
    let mut draft = draft_on(&format!("{method}/cifar10"), Some(model));
    // 28 pixels hold 7 patches of 4 a side, and the smaller crops of a multi-crop then hold 3.
    draft.set_image_size(28).expect("it has views");
    let narrow: &[&str] = match model.starts_with("vit") {
        true => &["encoder.embed_dim=24", "encoder.depth=2"],
        false => &[],
    };
    let length = [format!("schedule.max_steps={STEPS}"), format!("eval.limit={IMAGES}")];
    for change in
        narrow.iter().copied().chain(["eval.test=demo:test"]).chain(length.iter().map(String::as_str))
    {
        draft.assign(change).unwrap_or_else(|error| panic!("{method}, {change}: {error}"));
    }
    draft.finish().unwrap_or_else(|error| panic!("{method}, {model}: {error}"))
}

/// A plan has measured some steps, and has written nothing.
fn check_plan(what: &str, recipe: &Recipe, out: &Path) -> Result<(), String> {
    let options = PlanOptions { steps: true, ..PlanOptions::new(PretrainOptions::new(out)) };
    let found = plan(recipe, &options).map_err(|error| error.to_string())?;
    let measured = found.measured.as_ref().is_some_and(|taken| taken.checkpoint_bytes > 0);
    assert!(measured && !found.cannot_work() && !out.exists(), "{what}: {found}");
    Ok(())
}

/// k-NN and the linear classifier have an accuracy of the untrained network and one of the trained one; TensorBoard has files.
fn check_rows(what: &str, out: &Path) {
    let rows = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    for key in ["knn_top1", "linear_top1"] {
        let found = rows.iter().filter_map(|row| Some((row["step"].as_u64()?, row.get(key)?.as_f64()?)));
        let (steps, values): (Vec<_>, Vec<_>) = found.unzip();
        assert_eq!(steps, [0, STEPS], "{what}: {key}");
        assert!(values.iter().all(|value| (0.0..=100.0).contains(value)), "{what}: {key} {values:?}");
    }
    let events = fs::read_dir(out.join("tensorboard")).expect("a folder");
    let bytes: Vec<_> =
        events.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).collect();
    assert!(bytes.len() == 2 && bytes.iter().all(|bytes| *bytes > 100), "{what}: {bytes:?}");
}

fn check_page(what: &str, out: &Path) {
    let html = fs::read_to_string(out.join("report.html")).expect("a page");
    let sections = html.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(sections.collect::<Vec<_>>(), SECTIONS, "{what}");
    assert!(html.contains("linear top-1") && !html.contains("not be shown"), "{what}");
}

/// The graph has the description of the network and its output; what it computes, onnxruntime says: `ssl-cli/tests/export.rs`.
fn check_export(what: &str, out: &Path, file: &Path) {
    let options = ExportOptions::new(out, file).with_format(ExportFormat::Onnx);
    let written = export(&options).unwrap_or_else(|error| panic!("{what}: {error}"));
    let bytes = fs::read(file).expect("a graph");
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let parts = [format!("\"name\":\"{}\"", written.model), "features".to_owned(), "images".to_owned()];
    assert!(written.tensors > 10 && parts.iter().all(|part| has(part)), "{what}: {written:?}");
}

fn check_tables(what: &str, encoder: EncoderSource, folder: &Path) {
    let (features, duplicates) = (folder.join("features.csv"), folder.join("duplicates.csv"));
    let embed = EmbedOptions::new(encoder.clone(), "demo:test", &features);
    let embedded = embed_images(&EmbedOptions { limit: Some(IMAGES), ..embed });
    let embedded = embedded.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(embedded.images == IMAGES && embedded.dim > 1 && embedded.labels, "{what}: {embedded:?}");
    let compare = DedupOptions::new(encoder, "demo:test", &duplicates);
    let compared = dedup(&DedupOptions { limit: Some(IMAGES), ..compare });
    let compared = compared.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(compared.images == IMAGES && compared.duplicates < IMAGES, "{what}: {compared:?}");
    for table in [features, duplicates] {
        let rows = fs::read_to_string(table).expect("a table").lines().count();
        assert_eq!(rows, 1 + IMAGES, "{what}: a header and the images");
    }
}
