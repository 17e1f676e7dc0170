//! TensorBoard's own reader reads what a run has written, and what it wrote when it went on.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{finished, run, stderr, stdout, text};
use serde_json::Value;

/// Largest difference between a metric and what TensorBoard has of it, in single precision, as a share of it.
const TOLERANCE: f64 = 1e-6;

/// Prints scalars as `[tag, step, value]` and pictures as `[tag, step, width, height, whether they are the file]`, as JSON.
const READ: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
folder, picture = sys.argv[1:]
events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
events.Reload()
tags, png = events.Tags(), open(picture, "rb").read()
scalars = [[tag, event.step, event.value] for tag in tags["scalars"] for event in events.Scalars(tag)]
images = [[tag, event.step, event.width, event.height, event.encoded_image_string == png]
          for tag in tags["images"] for event in events.Images(tag)]
print(json.dumps({"scalars": scalars, "images": images}))
"#;

/// Values by tag and step.
type Scalars = BTreeMap<(String, u64), f64>;

/// Run by CI, with tensorboard from PyPI.
#[test]
#[ignore = "needs a Python with tensorboard, named by BURN_SSL_PYTHON"]
fn tensorboard_shows_every_metric_and_the_views_of_a_run_that_was_killed_and_went_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = dir.path().join("images-10");
    let (_, out) = finished(dir.path(), &["--eval-test", text(&images), "--no-report"]);
    for tag in ["train/train_loss", "eval/knn_top1", "eval/linear_top1", "eval/rankme"] {
        assert!(of_metrics(&out).keys().any(|(found, _)| found == tag), "no {tag} in metrics.jsonl");
    }
    check(&out);

    // As if it had been killed after step 4 and before its checkpoint: what was said of that step no longer counts.
    for checkpoint in ["last", "step-4"] {
        fs::remove_dir_all(out.join("checkpoints").join(checkpoint)).expect("a checkpoint");
    }
    let output = run(&["pretrain", "--resume", "--epochs", "3", "--no-report", "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!of_metrics(&out).contains_key(&("eval/knn_top1".to_owned(), 4)), "step 4 is no end any more");
    check(&out);
}

/// Compares what TensorBoard reads with `metrics.jsonl` and `views.png`.
#[track_caller]
fn check(out: &Path) {
    let sheet = out.join("views.png");
    let (width, height) = image::image_dimensions(&sheet).expect("a PNG");
    let read = in_tensorboard(&out.join("tensorboard"), &sheet);
    assert_eq!(read["images"], serde_json::json!([["views", 0, width, height, true]]));

    let (expected, rows) = (of_metrics(out), read["scalars"].as_array().expect("a list"));
    let scalar = |row: &Value| {
        let (tag, step) = (row[0].as_str().expect("a tag"), row[1].as_u64().expect("a step"));
        ((tag.to_owned(), step), row[2].as_f64().expect("a value"))
    };
    let found: Scalars = rows.iter().map(scalar).collect();
    assert_eq!(rows.len(), found.len(), "a tag has two values of one step: {rows:?}");
    assert!(found.keys().eq(expected.keys()), "{found:?} in TensorBoard, {expected:?} in metrics.jsonl");
    for (key, value) in &expected {
        let difference = (found[key] - value).abs();
        assert!(difference <= TOLERANCE * value.abs(), "{key:?}: {} in TensorBoard, {value}", found[key]);
    }
}

fn in_tensorboard(folder: &Path, sheet: &Path) -> Value {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with tensorboard");
    let output = Command::new(python).args(["-c", READ]).args([folder, sheet]).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(stdout(&output).trim()).expect("JSON")
}

/// The rows of `metrics.jsonl` in the groups that docs/report.md names. Findings are sentences, which TensorBoard does not show.
fn of_metrics(out: &Path) -> Scalars {
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let rows = metrics.lines().map(|row| serde_json::from_str::<Value>(row).expect("JSON"));
    let of_row = |row: Value| {
        let group = match (row.get("lr"), row.get("total_steps")) {
            (Some(_), _) => "train",
            (_, Some(_)) => "length",
            _ => "eval",
        };
        let step = row["step"].as_u64().expect("a step");
        let values: Vec<_> = row.as_object().expect("an object").clone().into_iter().collect();
        let values = values.into_iter().filter(|(name, _)| name != "step" && name != "epoch");
        values
            .map(|(name, value)| ((format!("{group}/{name}"), step), value.as_f64().expect("a number")))
            .collect::<Vec<_>>()
    };
    rows.filter(|row| row.get("finding").is_none()).flat_map(of_row).collect()
}
