//! `metrics.jsonl`: one JSON object per line, in the order of steps.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::events::{Events, of_run};
use crate::{Finding, TrainError};

/// A key that every row about a training step has, and no row about an evaluation.
pub(crate) const OF_TRAINING: &str = "lr";

/// A key that every row about a change of the run's length has, and no other.
pub(crate) const OF_LENGTH: &str = "total_steps";

/// A key that every row about a finding has, and no other.
pub(crate) const OF_FINDING: &str = "finding";

/// Appends rows to a metrics file.
pub(crate) struct MetricsFile {
    path: PathBuf,
    /// `None` where another process writes.
    file: Option<fs::File>,
    /// The steps whose evaluation already had a row when the file was opened.
    evaluated: Vec<u64>,
    /// The same rows for TensorBoard.
    events: Events,
}

impl MetricsFile {
    /// Opens the file. Removes rows past `step`, which a resumed run writes again, and rows that cannot be read.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        let mut evaluated = Vec::new();
        let goes_on = path.exists();
        if goes_on {
            let bytes = ssl_files::read(path).map_err(TrainError::io(path))?;
            let kept;
            (kept, evaluated) = kept_rows(&bytes, step);
            ssl_files::write(path, &kept).map_err(TrainError::io(path))?;
        }
        let file =
            fs::OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::io(path))?;
        let events = Events::open(&of_run(path), goes_on.then_some(step));
        Ok(Self { path: path.to_owned(), file: Some(file), evaluated, events })
    }

    /// No file: the first process of a group writes its own.
    pub(crate) fn of_another_process() -> Self {
        Self { path: PathBuf::new(), file: None, evaluated: Vec::new(), events: Events::default() }
    }

    /// Writes one row; numbers that JSON cannot hold are left out.
    pub(crate) fn write(&mut self, step: u64, epoch: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut row = Map::from_iter([("step".into(), step.into()), ("epoch".into(), epoch.into())]);
        for (name, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            row.insert((*name).to_owned(), Value::from(*value));
        }
        self.events.write(step, values);
        let line = format!("{}\n", Value::Object(row));
        file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path))
    }

    /// Writes what was found wrong.
    pub(crate) fn write_finding(
        &mut self,
        step: u64,
        epoch: u64,
        finding: &Finding,
    ) -> Result<(), TrainError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut row = Map::from_iter([("step".into(), step.into()), ("epoch".into(), epoch.into())]);
        if let Ok(Value::Object(found)) = serde_json::to_value(finding) {
            row.extend(found);
        }
        let line = format!("{}\n", Value::Object(row));
        file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path))
    }

    /// Whether the evaluation after a step already had a row when the file was opened.
    pub(crate) fn has_evaluation(&self, step: u64) -> bool {
        self.evaluated.contains(&step)
    }

    /// Waits until all rows are on the disk, so that a checkpoint is never ahead of them.
    pub(crate) fn flush(&self) -> Result<(), TrainError> {
        let synced = self.file.as_ref().map_or(Ok(()), fs::File::sync_data);
        synced.map_err(TrainError::io(&self.path))
    }
}

/// The rows up to `step` that can be read, and the steps of those about an evaluation.
pub(crate) fn kept_rows(bytes: &[u8], step: u64) -> (Vec<u8>, Vec<u64>) {
    let (mut kept, mut evaluated) = (Vec::new(), Vec::new());
    for row in bytes.split(|&byte| byte == b'\n') {
        let Some(found) = Row::read(row).filter(|found| found.stays(step)) else { continue };
        kept.extend_from_slice(row);
        kept.push(b'\n');
        evaluated.extend(found.is_evaluation.then_some(found.step));
    }
    (kept, evaluated)
}

/// The fields of a row that matter here.
struct Row {
    step: u64,
    is_evaluation: bool,
    is_of_length: bool,
}

impl Row {
    /// Whether a run that goes on after `step` keeps the row. One that starts over writes everything again, and the length may be
    /// changed again at the same step.
    fn stays(&self, step: u64) -> bool {
        step > 0 && (self.step < step || (self.step == step && !self.is_of_length))
    }

    /// `None` for a row that is damaged, or that a killed process left half written.
    fn read(row: &[u8]) -> Option<Self> {
        let row: Value = serde_json::from_slice(row).ok()?;
        let [is_of_training, is_of_length, is_of_finding] =
            [OF_TRAINING, OF_LENGTH, OF_FINDING].map(|key| row.get(key).is_some());
        let is_evaluation = !is_of_training && !is_of_length && !is_of_finding;
        Some(Self { step: row.get("step")?.as_u64()?, is_evaluation, is_of_length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_drops_the_rows_it_will_write_again() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("metrics.jsonl");
        let mut metrics = MetricsFile::open(&path, 0).expect("writable");
        for step in [10, 20, 30] {
            metrics.write(step, 0, &[("train_loss", 1.5), ("grad_norm", f64::NAN)]).expect("writable");
        }
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut f| f.write_all(b"{\"step\":4"))
            .expect("writable");

        MetricsFile::open(&path, 20)
            .expect("readable")
            .write(30, 1, &[("train_loss", 1.0)])
            .expect("writable");
        let text = fs::read_to_string(&path).expect("readable");
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "{\"step\":10,\"epoch\":0,\"train_loss\":1.5}");
        assert_eq!((rows.len(), rows[2]), (3, "{\"step\":30,\"epoch\":1,\"train_loss\":1.0}"));
    }

    #[test]
    fn rows_that_are_no_text_are_dropped_and_evaluations_are_known() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("metrics.jsonl");
        let rows = b"{\"step\":0,\"knn_top1\":9}\n{\"step\":3,\"finding\":\"a\"}\n{\"step\":1,\"\xff\n{\"step\":2,\"lr\":1}\n{\"step\":2,\"knn_top1\":9}\n{\"step\":4,\"lr\":1}\n";
        fs::write(&path, rows).expect("writable");
        let metrics = MetricsFile::open(&path, 4).expect("readable");
        assert_eq!([0, 2, 3, 4].map(|step| metrics.has_evaluation(step)), [true, true, false, false]);
        assert_eq!(fs::read_to_string(&path).expect("UTF-8").lines().count(), 5);
        MetricsFile::open(&path, 0).expect("readable");
        assert_eq!(fs::read(&path).expect("readable"), b"", "a run that starts anew has no rows yet");
    }
}
