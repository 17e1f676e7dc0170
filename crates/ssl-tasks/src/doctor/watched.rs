//! The doctor beside a caller's observer.

use ssl_core::Progress;
use ssl_train::{Finding, FindingKind, Observer, OnCollapse, RunDir, StepReport};

use super::Doctor;
use crate::compare::History;

/// An observer with a doctor beside it.
pub(crate) struct Watched<'a> {
    observer: &'a mut dyn Observer,
    doctor: Doctor,
    /// What a killed process found and could not write any more.
    unsaid: Vec<Finding>,
    /// The rows of a resumed run are there.
    run: &'a RunDir,
    on_collapse: OnCollapse,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(
        observer: &'a mut dyn Observer,
        doctor: Doctor,
        run: &'a RunDir,
        on_collapse: OnCollapse,
    ) -> Self {
        Self { observer, doctor, unsaid: Vec::new(), run, on_collapse }
    }

    /// Looks at the rows that a run has written so far, so that nothing is said twice and nothing is forgotten. A collapse is said
    /// again where it is to end the run.
    fn catch_up(&mut self, at: Progress) {
        let Ok(history) = History::read(self.run, Some(at.steps_per_epoch)) else { return };
        for (step, finding) in history.findings() {
            let ends = finding.kind == FindingKind::Collapse && self.on_collapse == OnCollapse::Stop;
            if step <= at.step && !ends {
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

impl Observer for Watched<'_> {
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

    fn suspected_since(&self) -> Option<u64> {
        [self.doctor.suspected_since(), self.observer.suspected_since()].into_iter().flatten().min()
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
