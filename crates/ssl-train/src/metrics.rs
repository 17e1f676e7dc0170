//! `metrics.jsonl`: one JSON object per line, in order of steps.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::TrainError;

/// Appends rows to a metrics file.
pub(crate) struct MetricsFile {
    path: PathBuf,
    /// None where another process writes.
    file: Option<fs::File>,
}

impl MetricsFile {
    /// Opens the file; rows past `step` are removed, since a resumed run writes them again.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        if path.exists() {
            let text = fs::read_to_string(path).map_err(TrainError::io(path))?;
            let kept: String =
                text.lines().filter(|row| step_of(row) <= Some(step)).fold(String::new(), |kept, row| {
                    if step_of(row).is_some() { kept + row + "\n" } else { kept }
                });
            ssl_files::write(path, kept.as_bytes()).map_err(TrainError::io(path))?;
        }
        let file =
            fs::OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::io(path))?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
    }

    /// No file: the first process of a group writes its own.
    pub(crate) fn of_another_process() -> Self {
        Self { path: PathBuf::new(), file: None }
    }

    /// Writes one row; numbers that JSON cannot hold are left out.
    pub(crate) fn write(&mut self, step: u64, epoch: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut row = Map::from_iter([("step".into(), step.into()), ("epoch".into(), epoch.into())]);
        for (name, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            row.insert((*name).to_owned(), Value::from(*value));
        }
        let line = format!("{}\n", Value::Object(row));
        file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path))
    }
}

/// The step of a row; none for a row that a killed process left half written.
fn step_of(row: &str) -> Option<u64> {
    serde_json::from_str::<Value>(row).ok()?.get("step")?.as_u64()
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
}
