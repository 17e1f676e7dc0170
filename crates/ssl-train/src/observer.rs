//! How a caller watches a run and evaluates the encoder.

use std::error::Error;

use ssl_core::Progress;
use tracing::warn;

use crate::Finding;

/// An error of a caller's evaluation.
pub type EvaluationError = Box<dyn Error + Send + Sync>;

/// Metrics of an evaluation, by the names of the metrics file: `knn_top1`, `knn_top5`, `rankme`.
pub type Evaluation = Vec<(&'static str, f64)>;

/// Watches a run, and may stop it. Every function has a default; all but one do nothing.
pub trait Observer {
    /// The run is about to start, or to resume at `at`.
    fn on_start(&mut self, at: Progress) {
        let _ = at;
    }

    /// A step is done.
    fn on_step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// The encoder was evaluated; metrics have their names in the metrics file.
    fn on_evaluation(&mut self, at: Progress, metrics: &[(&'static str, f64)]) {
        let _ = (at, metrics);
    }

    /// A row was written to the metrics file; returns what is wrong with the run, which is then written too. In a job of several
    /// processes, the first one is asked.
    fn on_row(&mut self, at: Progress, values: &[(&'static str, f64)]) -> Vec<Finding> {
        let _ = (at, values);
        Vec::new()
    }

    /// The step of the first of the newest rows that look like a collapse, whether or not they are enough to say so. While there are
    /// such rows, the last checkpoint from before is kept. In a job of several processes, the first one is asked.
    fn suspected_since(&self) -> Option<u64> {
        None
    }

    /// Something was found to be wrong. By default it is logged.
    fn on_finding(&mut self, at: Progress, finding: &Finding) {
        let Finding { rule, cause, evidence, remedy, reference, .. } = finding;
        warn!("step {}: {cause} ({rule}: {evidence}); try {remedy}; see {reference}", at.step);
    }

    /// Whether to save and stop the run after this step.
    fn stop(&self) -> bool {
        false
    }
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// How an encoder is evaluated during a run: before the first step, after every `eval_every_epochs` epochs and at the end.
///
/// In a group of processes, each one calls it, so that they can share the work; the metrics of the first one are written.
///
/// Closures implement it.
pub trait Evaluator<E> {
    /// The metrics of an encoder, which is on the device without gradients; empty if there is nothing to evaluate on.
    ///
    /// # Errors
    /// Whatever keeps the caller from evaluating; the run then ends with a checkpoint.
    fn evaluate(&mut self, encoder: &E, at: Progress) -> Result<Evaluation, EvaluationError>;
}

impl<E, F: FnMut(&E, Progress) -> Result<Evaluation, EvaluationError>> Evaluator<E> for F {
    fn evaluate(&mut self, encoder: &E, at: Progress) -> Result<Evaluation, EvaluationError> {
        self(encoder, at)
    }
}

/// An evaluation that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvaluation;

impl<E> Evaluator<E> for NoEvaluation {
    fn evaluate(&mut self, _encoder: &E, _at: Progress) -> Result<Evaluation, EvaluationError> {
        Ok(Evaluation::new())
    }
}

/// One step as reported, and written to the metrics file every `log_every` steps.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Steps done, this one included, and those of the whole run.
    pub at: Progress,
    /// Loss, in the unit of the method; `None` at steps where it is not read, since reading it stalls a GPU.
    pub loss: Option<f64>,
    /// Learning rate of the weights.
    pub lr: f64,
    /// Images per second since the last report, each image counted once however many views it has.
    pub images_per_s: f64,
    /// Share of that time spent waiting for data, 0 to 1; `None` at steps where the loss is not read, and where nothing is loaded.
    pub data_share: Option<f64>,
}
