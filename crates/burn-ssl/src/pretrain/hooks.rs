//! What a caller sees of a run.

use ssl_core::{Encoder, Progress};
use ssl_eval::EvalError;
use ssl_train::{HookError, Hooks, StepReport};
use tracing::info;

use crate::evaluation::Evaluation;

/// What a caller wants to see of a run and may do in between. Everything has a default.
pub trait Observer {
    /// The run is about to start or to go on at `at`.
    fn on_start(&mut self, at: Progress) {
        let _ = at;
    }

    /// A step is done.
    fn on_step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// An evaluation took place; metrics by the names of the metrics file.
    fn on_evaluation(&mut self, at: Progress, metrics: &[(&'static str, f64)]) {
        let _ = (at, metrics);
    }

    /// Whether the run is to be saved and stopped after this step.
    fn stop(&self) -> bool {
        false
    }
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// Evaluates during a run and passes everything else on.
pub(super) struct RunHooks<'a, O> {
    pub(super) observer: &'a mut O,
    pub(super) evaluation: Option<Evaluation>,
}

impl<O> RunHooks<'_, O> {
    /// The metrics of an encoder on the device without gradients; none without a set to evaluate on.
    pub(super) fn metrics(&self, encoder: &impl Encoder) -> Result<Vec<(&'static str, f64)>, EvalError> {
        let found = self.evaluation.as_ref().map(|evaluation| evaluation.of(encoder)).transpose()?;
        Ok(found.map_or_else(Vec::new, |found| found.metrics()))
    }
}

impl<E: Encoder, O: Observer> Hooks<E> for RunHooks<'_, O> {
    fn on_start(&mut self, at: Progress) {
        self.observer.on_start(at);
    }

    fn on_step(&mut self, report: &StepReport) {
        let StepReport { at, loss, images_per_s, .. } = *report;
        if let Some(loss) = loss.filter(|_| at.step.is_multiple_of(at.steps_per_epoch)) {
            info!("epoch {}: loss {loss:.4}, {images_per_s:.0} images/s", at.epoch());
        }
        self.observer.on_step(report);
    }

    fn evaluate(&mut self, encoder: &E, at: Progress) -> Result<ssl_train::Evaluation, HookError> {
        let metrics = self.metrics(encoder)?;
        if let [(_, top1), (_, top5), (_, rankme)] = metrics[..] {
            info!("step {}: k-NN top-1 {top1:.2} %, top-5 {top5:.2} %, RankMe {rankme:.1}", at.step);
            self.observer.on_evaluation(at, &metrics);
        }
        Ok(metrics)
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
