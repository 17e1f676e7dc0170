//! The rows of metrics that rules look at.

use std::collections::{BTreeMap, VecDeque};

use ssl_core::Progress;

/// Rows about training that are kept: the latest.
const RECENT: usize = 8;
/// Rows about training that are kept: the earliest.
const FIRST: usize = 3;

/// A key that rows about training have, and no others.
const OF_TRAINING: &str = "lr";
/// A key that rows about the length of a run have, and no others.
const OF_LENGTH: &str = "total_steps";

/// A row of metrics.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) at: Progress,
    values: BTreeMap<String, f64>,
}

impl Row {
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

/// The rows of a run that rules look at.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The earliest about training.
    pub(super) first: Vec<Row>,
    /// The latest about training.
    pub(super) recent: VecDeque<Row>,
    /// The evaluation before the first step.
    pub(super) untrained: Option<Row>,
    /// The latest evaluation of a trained network.
    pub(super) evaluated: Option<Row>,
    /// Seconds of all steps, and of waiting for data in them.
    pub(super) seconds: f64,
    pub(super) waited: f64,
}

impl Rows {
    /// Takes a row; false if it is none that rules look at.
    pub(super) fn push(&mut self, at: Progress, values: &[(&str, f64)]) -> bool {
        let values: BTreeMap<_, _> =
            values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let row = Row { at, values };
        if row.get(OF_LENGTH).is_some() {
            return false;
        }
        if row.get(OF_TRAINING).is_some() {
            self.push_training(row);
        } else if at.step == 0 {
            self.untrained = Some(row);
        } else {
            self.evaluated = Some(row);
        }
        true
    }

    fn push_training(&mut self, row: Row) {
        let before = self.recent.back().map_or(0, |last| last.at.step);
        let steps = row.at.step.saturating_sub(before) as f64;
        let time = |name| steps * row.get(name).unwrap_or_default();
        let (waited, seconds) = (time("data_time"), time("step_time"));
        self.waited += waited;
        self.seconds += seconds;
        if self.first.len() < FIRST {
            self.first.push(row.clone());
        }
        self.recent.push_back(row);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The last row about training.
    pub(super) fn last(&self) -> Option<&Row> {
        self.recent.back()
    }

    /// The last `count` rows about training, the earliest first; none if there are fewer.
    pub(super) fn lately(&self, count: usize) -> Option<Vec<&Row>> {
        let skipped = self.recent.len().checked_sub(count)?;
        Some(self.recent.iter().skip(skipped).collect())
    }

    /// The values of a metric in the last `count` rows about training, if there are so many and all have it.
    pub(super) fn values(&self, name: &str, count: usize) -> Option<Vec<f64>> {
        self.lately(count)?.into_iter().map(|row| row.get(name)).collect()
    }

    /// The step of the first of the last `count` rows about training, and the last value of a metric, if `holds` for its value in
    /// all of them.
    pub(super) fn lasting(
        &self,
        name: &str,
        count: usize,
        holds: impl Fn(f64) -> bool,
    ) -> Option<(u64, f64)> {
        let values = self.values(name, count)?;
        let since = self.lately(count)?.first()?.at.step;
        values.iter().all(|&value| holds(value)).then_some((since, *values.last()?))
    }
}
