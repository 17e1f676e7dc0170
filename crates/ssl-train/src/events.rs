//! The rows of the metrics file as event files for TensorBoard.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ssl_tensorboard::{EventFile, is_event_file};
use tracing::warn;

use crate::TrainError;
use crate::metrics::{OF_LENGTH, OF_TRAINING};
use crate::run_dir::{remove_empty, remove_file};

/// The folder of event files in a run directory.
const FOLDER: &str = "tensorboard";

/// The folder of event files beside a metrics file.
pub(crate) fn of_run(metrics: &Path) -> PathBuf {
    metrics.with_file_name(FOLDER)
}

/// The event file of a process. A run goes on without it.
#[derive(Default)]
pub(crate) struct Events {
    file: Option<EventFile>,
}

impl Events {
    /// A new file in a folder. `after` is the step after which an earlier process's rows no longer count, if there was one.
    pub(crate) fn open(folder: &Path, after: Option<u64>) -> Self {
        let mut events = Self { file: None };
        events.file = or_warn(EventFile::create(folder));
        if let Some(step) = after {
            // A run that starts over writes the row of step 0 again.
            let next = if step == 0 { 0 } else { step + 1 };
            events.append(|file| file.restarts(next));
        }
        events
    }

    /// Writes a row in a group of its kind.
    pub(crate) fn write(&mut self, step: u64, values: &[(&str, f64)]) {
        let has = |key: &str| values.iter().any(|(name, _)| *name == key);
        let group = match (has(OF_TRAINING), has(OF_LENGTH)) {
            (true, _) => "train",
            (_, true) => "length",
            _ => "eval",
        };
        let finite = values.iter().filter(|(_, value)| value.is_finite());
        let values = finite.map(|(name, value)| (format!("{group}/{name}"), *value));
        self.append(|file| file.scalars(step, values));
    }

    fn append(&mut self, write: impl FnOnce(&mut EventFile) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if or_warn(write(file)).is_none() {
            self.file = None;
        }
    }
}

fn or_warn<T>(done: io::Result<T>) -> Option<T> {
    done.map_err(|error| warn!("nothing more is written for TensorBoard: {error}")).ok()
}

/// Removes the event files of a run directory, and their folder if that leaves it empty.
pub(crate) fn remove(run: &Path) -> Result<(), TrainError> {
    let folder = run.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(_) => return Ok(()),
        Ok(entries) => entries,
    };
    for entry in entries {
        let entry = entry.map_err(TrainError::io(&folder))?;
        if entry.file_name().to_str().is_some_and(is_event_file) {
            remove_file(&entry.path())?;
        }
    }
    remove_empty(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsFile;

    /// The event files of a run, in the order in which TensorBoard reads them.
    fn files(folder: &Path) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> =
            fs::read_dir(folder).expect("there").map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).expect("readable")).collect()
    }

    fn has(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn rows_are_written_in_groups_and_a_resumed_run_writes_a_file_of_its_own() {
        let run = tempfile::tempdir().expect("a temporary folder");
        let path = run.path().join("metrics.jsonl");
        for (step, loss) in [(0, "train_loss"), (20, "other_loss")] {
            let mut metrics = MetricsFile::open(&path, step).expect("writable");
            metrics.write(step, 0, &[("knn_top1", 10.0)]).expect("writable");
            metrics.write(step + 10, 0, &[(loss, 1.5), ("lr", 0.1)]).expect("writable");
        }
        let files = files(&of_run(&path));
        let [first, second] = &files[..] else { panic!("{} files", files.len()) };
        assert!(
            has(first, "train/train_loss") && has(first, "eval/knn_top1") && has(second, "train/other_loss")
        );
        // Step 21, and the session log with its status.
        assert!(
            has(second, "\u{10}\u{15}\u{3a}\u{2}\u{8}\u{1}"),
            "what was written after step 20 no longer counts"
        );
    }

    #[test]
    fn a_run_goes_on_where_no_event_file_can_be_written() {
        let run = tempfile::tempdir().expect("a temporary folder");
        fs::write(run.path().join(FOLDER), "a file").expect("writable");
        let path = run.path().join("metrics.jsonl");
        let mut metrics = MetricsFile::open(&path, 0).expect("writable");
        metrics.write(1, 0, &[("lr", 0.1)]).expect("the row counts");
        assert!(fs::read_to_string(path).expect("readable").contains("\"lr\":0.1"));
    }
}
