//! The doctor beside a caller's observer.

use ssl_core::Progress;
use ssl_train::{Finding, Observer, RunDir, StepReport};

use super::Doctor;
use crate::compare::History;

/// An observer with a doctor beside it.
pub(crate) struct Watched<'a, O> {
    observer: &'a mut O,
    doctor: Doctor,
    /// What a killed process found and could not write any more.
    unsaid: Vec<Finding>,
    /// The rows of a resumed run are there.
    run: &'a RunDir,
}

impl<'a, O: Observer> Watched<'a, O> {
    pub(crate) fn new(observer: &'a mut O, doctor: Doctor, run: &'a RunDir) -> Self {
        Self { observer, doctor, unsaid: Vec::new(), run }
    }

    /// Looks at the rows that a run has written so far, so that nothing is said twice and nothing is forgotten.
    fn catch_up(&mut self, at: Progress) {
        let Ok(history) = History::read(self.run, Some(at.steps_per_epoch)) else { return };
        for (step, finding) in history.findings() {
            if step <= at.step {
                self.doctor.has_said(&finding.rule);
            }
        }
        for (step, values) in history.numbers() {
            if step > at.step {
                continue;
            }
            let found = self.doctor.look_at(Progress { step, ..at }, &values);
            if step == at.step {
                self.unsaid.extend(found);
            } else {
                // Later rows may show it again.
                self.doctor.take_back(&found);
            }
        }
    }
}

impl<O: Observer> Observer for Watched<'_, O> {
    fn on_start(&mut self, at: Progress) {
        if at.step > 0 {
            self.catch_up(at);
        }
        self.observer.on_start(at);
    }

    fn on_step(&mut self, report: &StepReport) {
        self.observer.on_step(report);
    }

    fn on_evaluation(&mut self, at: Progress, metrics: &[(&'static str, f64)]) {
        self.observer.on_evaluation(at, metrics);
    }

    fn on_row(&mut self, at: Progress, values: &[(&'static str, f64)]) -> Vec<Finding> {
        let mut found = std::mem::take(&mut self.unsaid);
        found.extend(self.doctor.look_at(at, values));
        found.extend(self.observer.on_row(at, values));
        found
    }

    fn on_finding(&mut self, at: Progress, finding: &Finding) {
        self.observer.on_finding(at, finding);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
