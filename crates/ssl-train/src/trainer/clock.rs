//! Timing of the parts of a step.

use std::time::Instant;

/// Seconds spent waiting for data and on steps, since the last row of metrics and in total.
#[derive(Debug)]
pub(super) struct Clock {
    mark: Instant,
    data: f64,
    step: f64,
    steps: u64,
    total: f64,
}

/// Averages since the last row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Averages {
    /// Seconds per step spent waiting for data.
    pub(super) data_time: f64,
    /// Seconds per step, data included.
    pub(super) step_time: f64,
}

impl Clock {
    pub(super) fn new(total: f64) -> Self {
        Self { mark: Instant::now(), data: 0.0, step: 0.0, steps: 0, total }
    }

    /// Discards the time since the last mark.
    pub(super) fn skip(&mut self) {
        self.mark = Instant::now();
    }

    /// A batch has arrived.
    pub(super) fn data_is_here(&mut self) {
        self.data += self.lap();
    }

    /// A step is done.
    pub(super) fn step_is_done(&mut self) {
        self.step += self.lap();
        self.steps += 1;
    }

    pub(super) fn seconds(&self) -> f64 {
        self.total
    }

    /// Averages since the last call.
    pub(super) fn averages(&mut self) -> Averages {
        let steps = self.steps.max(1) as f64;
        let averages = Averages { data_time: self.data / steps, step_time: (self.data + self.step) / steps };
        (self.data, self.step, self.steps) = (0.0, 0.0, 0);
        averages
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.mark.elapsed().as_secs_f64();
        self.mark = Instant::now();
        self.total += seconds;
        seconds
    }
}
