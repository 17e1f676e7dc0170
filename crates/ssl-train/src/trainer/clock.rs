//! Timing of the parts of a step.

use std::time::Instant;

/// Seconds spent waiting for data and on steps, since the last row of metrics and in total.
#[derive(Debug)]
pub(super) struct Clock {
    mark: Instant,
    data: f64,
    step: f64,
    /// In calls to other processes.
    comm: f64,
    /// The group's count of them when it was last read.
    comm_mark: f64,
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
    /// Seconds per step spent in calls to other processes, part of the step.
    pub(super) comm_time: f64,
}

impl Clock {
    pub(super) fn new(total: f64) -> Self {
        Self { mark: Instant::now(), data: 0.0, step: 0.0, comm: 0.0, comm_mark: 0.0, steps: 0, total }
    }

    /// Discards the time since the last mark. `comm` is the group's count of seconds.
    pub(super) fn skip(&mut self, comm: f64) {
        self.mark = Instant::now();
        self.comm_mark = comm;
    }

    /// A batch has arrived.
    pub(super) fn data_is_here(&mut self) {
        self.data += self.lap();
    }

    /// A step is done. `comm` is the group's count of seconds.
    pub(super) fn step_is_done(&mut self, comm: f64) {
        self.step += self.lap();
        self.comm += comm - self.comm_mark;
        self.comm_mark = comm;
        self.steps += 1;
    }

    pub(super) fn seconds(&self) -> f64 {
        self.total
    }

    /// Averages since the last call.
    pub(super) fn averages(&mut self) -> Averages {
        let steps = self.steps.max(1) as f64;
        let averages = Averages {
            data_time: self.data / steps,
            step_time: (self.data + self.step) / steps,
            comm_time: self.comm / steps,
        };
        (self.data, self.step, self.comm, self.steps) = (0.0, 0.0, 0.0, 0);
        averages
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.mark.elapsed().as_secs_f64();
        self.mark = Instant::now();
        self.total += seconds;
        seconds
    }
}
