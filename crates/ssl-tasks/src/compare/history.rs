//! The metrics of a run over its steps.

use std::io;

use serde_json::{Map, Value};
use ssl_train::{Finding, RunDir, TrainError};

/// A key that every row about a finding has, and no other.
const FINDING: &str = "finding";

/// The rows of `metrics.jsonl`.
pub(crate) struct History {
    rows: Vec<Map<String, Value>>,
    /// Steps in an epoch, where the run has a checkpoint that says so.
    pub(crate) steps_per_epoch: Option<u64>,
}

impl History {
    /// Reads the rows of a run; there are none if it has not written any. What is no row is left out: the run may be writing it.
    pub(crate) fn read(run: &RunDir, steps_per_epoch: Option<u64>) -> Result<Self, TrainError> {
        let path = run.metrics();
        let bytes = match ssl_files::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|source| TrainError::Io { path, source })?,
        };
        let rows = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(Self { rows: rows.collect(), steps_per_epoch: steps_per_epoch.filter(|&steps| steps > 0) })
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics().flat_map(|row| row.keys().map(String::as_str))
    }

    /// The rows that are not about findings.
    fn metrics(&self) -> impl DoubleEndedIterator<Item = &Map<String, Value>> {
        self.rows.iter().filter(|row| !row.contains_key(FINDING))
    }

    /// The numbers of each row by step.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (u64, Vec<(&str, f64)>)> {
        self.metrics().filter_map(|row| {
            let numbers = row.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
            Some((step(row)?, numbers.collect()))
        })
    }

    /// What was found wrong, by step.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (u64, Finding)> {
        self.rows.iter().filter_map(|row| {
            let finding = serde_json::from_value(Value::Object(row.clone())).ok()?;
            Some((step(row)?, finding))
        })
    }

    /// The values of a metric by step.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = (u64, f64)> + 'a {
        self.metrics().filter_map(move |row| Some((step(row)?, row.get(name)?.as_f64()?)))
    }

    /// The last value of a metric.
    pub(crate) fn last(&self, name: &str) -> Option<f64> {
        self.values(name).next_back().map(|(_, value)| value)
    }

    /// The value of a metric before the first step.
    pub(crate) fn untrained(&self, name: &str) -> Option<f64> {
        self.values(name).find(|&(step, _)| step == 0).map(|(_, value)| value)
    }

    /// Steps done, as far as there are rows.
    pub(crate) fn last_step(&self) -> u64 {
        self.rows.iter().filter_map(step).max().unwrap_or(0)
    }
}

fn step(row: &Map<String, Value>) -> Option<u64> {
    row.get("step")?.as_u64()
}
