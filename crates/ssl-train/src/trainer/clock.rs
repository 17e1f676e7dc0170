//! Timing of the parts of a step.

use std::time::Instant;

use ssl_core::Traffic;

/// Seconds spent waiting for data and on steps, since the last row of metrics and in total.
#[derive(Debug)]
pub(super) struct Clock {
    mark: Instant,
    data: f64,
    step: f64,
    /// Exchanged with other processes in steps.
    traffic: Traffic,
    /// The group's count when it was last read.
    traffic_mark: Traffic,
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
    /// Exchanged with other processes per step: calls, bytes, those of the bytes that go to every process, and seconds, which are
    /// part of the step.
    pub(super) comm: [f64; 4],
}

impl Clock {
    pub(super) fn new(total: f64) -> Self {
        Self {
            mark: Instant::now(),
            data: 0.0,
            step: 0.0,
            traffic: Traffic::default(),
            traffic_mark: Traffic::default(),
            steps: 0,
            total,
        }
    }

    /// Discards the time since the last mark. `traffic` is the group's count.
    pub(super) fn skip(&mut self, traffic: Traffic) {
        self.mark = Instant::now();
        self.traffic_mark = traffic;
    }

    /// A batch has arrived.
    pub(super) fn data_is_here(&mut self) {
        self.data += self.lap();
    }

    /// What came after a step belongs to it.
    pub(super) fn step_goes_on(&mut self, traffic: Traffic) {
        self.step += self.lap();
        self.traffic = self.traffic + (traffic - self.traffic_mark);
        self.traffic_mark = traffic;
    }

    /// A step is done. `traffic` is the group's count.
    pub(super) fn step_is_done(&mut self, traffic: Traffic) {
        self.step_goes_on(traffic);
        self.steps += 1;
    }

    pub(super) fn seconds(&self) -> f64 {
        self.total
    }

    /// Averages since the last call.
    pub(super) fn averages(&mut self) -> Averages {
        let steps = self.steps.max(1) as f64;
        let Traffic { calls, gathered, seconds, .. } = self.traffic;
        let averages = Averages {
            data_time: self.data / steps,
            step_time: (self.data + self.step) / steps,
            comm: [calls as f64, self.traffic.bytes() as f64, gathered as f64, seconds]
                .map(|sum| sum / steps),
        };
        (self.data, self.step, self.traffic, self.steps) = (0.0, 0.0, Traffic::default(), 0);
        averages
    }

    fn lap(&mut self) -> f64 {
        let seconds = self.mark.elapsed().as_secs_f64();
        self.mark = Instant::now();
        self.total += seconds;
        seconds
    }
}
