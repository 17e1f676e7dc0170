//! What a caller wants to see of a run and may do in between.

use std::error::Error;

use ssl_core::Progress;

/// An error of a caller's hook.
pub type HookError = Box<dyn Error + Send + Sync>;

/// Metrics of an evaluation, by the names of the metrics file: `knn_top1`, `knn_top5`, `rankme`.
pub type Evaluation = Vec<(&'static str, f64)>;

/// What a caller wants to see of a run and may do in between. Everything has a default.
pub trait Hooks<E> {
    /// The run is about to start or to go on at `at`.
    fn on_start(&mut self, at: Progress) {
        let _ = at;
    }

    /// A step is done.
    fn on_step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// Evaluates the encoder: before the first step, after every `eval_every_epochs` epochs and at the end.
    ///
    /// # Errors
    /// Whatever keeps the caller from evaluating; the run ends then, with a checkpoint.
    fn evaluate(&mut self, encoder: &E, at: Progress) -> Result<Evaluation, HookError> {
        let _ = (encoder, at);
        Ok(Evaluation::new())
    }

    /// Whether the run is to be saved and stopped after this step.
    fn stop(&self) -> bool {
        false
    }
}

/// No hooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl<E> Hooks<E> for NoHooks {}

/// One step, as it is reported and, every `log_every` steps, written to the metrics file.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Steps done, this one included, and those of the whole run.
    pub at: Progress,
    /// Loss, in the unit of the method; none between two readings, which would stall a GPU.
    pub loss: Option<f64>,
    /// Learning rate of the weights.
    pub lr: f64,
    /// Images per second since the last report, each image counted once however many views it has.
    pub images_per_s: f64,
}
