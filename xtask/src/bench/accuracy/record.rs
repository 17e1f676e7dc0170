//! The files of the test phase, one for each run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::places;
use super::sides::Side;

/// The folder of PyTorch's runs from its own initial weights, where there are others from ours.
const OWN_WEIGHTS: &str = "own-weights";

/// One run of the test phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) method: String,
    pub(super) side: Side,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Hash of the recipe, and of the numbers of fine-tuning where there is some.
    pub(super) recipe: String,
    /// Whether PyTorch started from the initial weights of our run of the same seed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) shared_start: bool,
    /// How the program was called.
    pub(super) command: String,
    /// The commit of the program or the script.
    pub(super) commit: String,
    /// Machine and versions.
    pub(super) setup: Value,
    /// Everything that the program printed.
    pub(super) report: Value,
}

/// The result of a run. Accuracies are in per cent of the test images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) knn_top1: f64,
    pub(super) knn_top1_untrained: f64,
    pub(super) knn_top1_pixels: f64,
    /// A linear classifier in closed form, and without training; none in files that are older than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_top1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_top1_untrained: Option<f64>,
    /// Fine-tuned on a share of the labels, and from scratch; only of methods that are judged by labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finetune_top1: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finetune_top1_untrained: Option<f64>,
    /// Mean loss of the last epoch.
    pub(super) train_loss: f64,
    /// Seconds of training.
    pub(super) seconds: f64,
}

impl Figures {
    /// The figures of a report; `pixels` is used if the program does not report the accuracy of raw pixels.
    pub(super) fn of(report: &Value, pixels: f64) -> Result<Self> {
        let number = |name: &str| figure(report, name);
        let optional = |name: &str| report.get(name).map(|_| number(name)).transpose();
        let knn_top1_pixels =
            if report.get("knn_top1_pixels").is_some() { number("knn_top1_pixels")? } else { pixels };
        Ok(Self {
            knn_top1: number("knn_top1")?,
            knn_top1_untrained: number("knn_top1_untrained")?,
            knn_top1_pixels,
            linear_top1: optional("linear_top1")?,
            linear_top1_untrained: optional("linear_top1_untrained")?,
            finetune_top1: optional("finetune_top1")?,
            finetune_top1_untrained: optional("finetune_top1_untrained")?,
            train_loss: number("train_loss")?,
            seconds: number("seconds")?,
        })
    }
}

/// A number of a report, rounded to four decimals: accuracies of 2,000 images have two.
pub(super) fn figure(report: &Value, name: &str) -> Result<f64> {
    let value = report.get(name).and_then(Value::as_f64).filter(|value| value.is_finite());
    let value = value.with_context(|| format!("the program printed no number '{name}', but {report}"))?;
    Ok((value * 1e4).round() / 1e4)
}

impl Record {
    /// The file of a run.
    pub(super) fn path(method: &str, side: Side, seed: u64) -> PathBuf {
        folder().join(format!("{method}-{}-{seed}.json", side.name()))
    }

    /// Writes it atomically. A result from other initial weights, which it replaces, moves to `own-weights`.
    pub(super) fn write(&self) -> Result<()> {
        let path = Self::path(&self.method, self.side, self.seed);
        if self.shared_start && path.exists() && !Self::read(&path)?.shared_start {
            set_aside(&path)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        ssl_files::write(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let record: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a result of `bench accuracy`", path.display()))?;
        let expected = Self::path(&record.method, record.side, record.seed);
        ensure!(
            path.file_name() == expected.file_name(),
            "{} is of another run, expected the name {}",
            path.display(),
            expected.file_name().unwrap_or_default().to_string_lossy()
        );
        Ok(record)
    }

    /// All runs of this checkout, by file name.
    pub(super) fn all() -> Result<Vec<Self>> {
        Self::all_in(&folder())
    }

    /// The runs whose recipes were chosen again after them, by file name.
    pub(super) fn of_first_choice() -> Result<Vec<Self>> {
        Self::all_in(&folder().with_file_name("first-choice"))
    }

    /// PyTorch's runs from its own initial weights that runs from ours have replaced, by file name.
    pub(super) fn of_own_weights() -> Result<Vec<Self>> {
        Self::all_in(&folder().with_file_name(OWN_WEIGHTS))
    }

    fn all_in(folder: &Path) -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }
}

/// Moves a result to the folder `own-weights` beside its own.
fn set_aside(path: &Path) -> Result<()> {
    let (Some(runs), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let folder = runs.with_file_name(OWN_WEIGHTS);
    let to = folder.join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::rename(path, &to))
        .with_context(|| format!("cannot move {} to {}", path.display(), to.display()))
}

fn folder() -> PathBuf {
    places::root().join(places::RESULTS).join("runs")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pixels_of_a_report_count_where_it_has_them() {
        let mut report = json!({ "knn_top1": 38.5, "knn_top1_untrained": 28.749999999999996, "train_loss": 4.5, "seconds": 300.0 });
        assert_eq!(Figures::of(&report, 36.45).expect("whole").knn_top1_pixels, 36.45);
        assert_eq!(Figures::of(&report, 36.45).expect("whole").knn_top1_untrained, 28.75);
        report["knn_top1_pixels"] = json!(36.5);
        assert_eq!(Figures::of(&report, 36.45).expect("whole").knn_top1_pixels, 36.5);
        report["knn_top1"] = Value::Null;
        let error = Figures::of(&report, 36.45).expect_err("no accuracy").to_string();
        assert!(error.starts_with("the program printed no number 'knn_top1', but {"), "{error}");
    }

    #[test]
    fn what_is_set_aside_lies_beside_the_runs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runs = folder.path().join("runs");
        fs::create_dir(&runs).expect("a new folder");
        fs::write(runs.join("a.json"), "1").expect("writable");
        set_aside(&runs.join("a.json")).expect("movable");
        let kept = fs::read_to_string(folder.path().join("own-weights/a.json"));
        assert_eq!((kept.expect("moved"), runs.join("a.json").exists()), ("1".to_owned(), false));
    }

    #[test]
    fn a_file_under_the_name_of_another_run_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("byol-ours-0.json");
        let report = json!({ "knn_top1": 1, "knn_top1_untrained": 1, "train_loss": 1, "seconds": 1 });
        let mut record = Record {
            method: "byol".into(),
            side: Side::Ours,
            seed: 0,
            figures: Figures::of(&report, 36.45).expect("whole"),
            recipe: "0".into(),
            shared_start: false,
            command: "burn-ssl".into(),
            commit: "0".into(),
            setup: Value::Null,
            report,
        };
        let mut write = |seed| {
            record.seed = seed;
            fs::write(&path, serde_json::to_string(&record).expect("JSON")).expect("written");
            Record::read(&path).map(|read| assert_eq!(read, record)).map_err(|error| error.to_string())
        };
        assert_eq!(write(0), Ok(()));
        assert!(write(1).expect_err("refused").ends_with("expected the name byol-ours-1.json"));
    }
}
