//! What is measured of an encoder during a run.

use ssl_core::Encoder;
use ssl_eval::EvalError;
use ssl_train::Evaluation as Metrics;
use tracing::info;

use crate::baselines::Baselines;
use crate::evaluation::{EvalScores, Evaluation, PixelScores};
use crate::self_check::{SelfCheck, SelfScores};

/// What is measured of an encoder during a run.
pub(super) struct Checks {
    /// On labelled sets, if there are any.
    pub(super) labelled: Option<Evaluation>,
    /// On the training images, without labels.
    pub(super) own: SelfCheck,
    /// Width and height of evaluated images.
    pub(super) image_size: usize,
    /// What accuracies are compared with; of a resumed run, what was measured before its first step.
    pub(super) baselines: Baselines,
}

impl Checks {
    /// Checks an encoder after `step` steps and logs what was found.
    pub(super) fn of(&mut self, encoder: &impl Encoder, step: u64) -> Result<Metrics, EvalError> {
        let mut metrics = Metrics::new();
        if let Some(found) = self.own.of(encoder)? {
            let SelfScores { view_retrieval, chance, rankme, .. } = found;
            info!("step {step}: views found {view_retrieval:.1} %, chance {chance:.1} %, RankMe {rankme:.1}");
            metrics.extend(found.metrics());
        }
        let Some(labelled) = &self.labelled else { return Ok(metrics) };
        if step == 0 {
            let pixels = labelled.of_pixels(self.image_size)?;
            log_pixels(&pixels);
            metrics.extend(pixels.metrics());
            self.baselines = among(&metrics);
        }
        let found = labelled.of(encoder)?;
        log(step, &found, &self.baselines);
        metrics.extend(found.metrics());
        if step == 0 {
            self.baselines = among(&metrics);
        }
        Ok(metrics)
    }
}

/// The baselines among the metrics of before the first step.
fn among(metrics: &Metrics) -> Baselines {
    Baselines::of(|wanted| metrics.iter().find(|(name, _)| *name == wanted).map(|&(_, value)| value))
}

fn log(step: u64, found: &EvalScores, baselines: &Baselines) {
    let EvalScores { top1, top5, linear, rankme } = found;
    let knn = format!("k-NN top-1 {top1:.2} %{}, top-5 {top5:.2} %", baselines.knn.multiples(*top1));
    let linear = linear.map_or(String::new(), |[top1, top5]| {
        format!("; linear top-1 {top1:.2} %{}, top-5 {top5:.2} %", baselines.linear.multiples(top1))
    });
    info!("step {step}: {knn}{linear}; RankMe of the test images {rankme:.1}");
}

fn log_pixels(found: &PixelScores) {
    let found = [("k-NN", found.knn), ("linear", found.linear)];
    let found = found.into_iter().filter_map(|(name, value)| Some(format!("{name} top-1 {:.2} %", value?)));
    let found: Vec<_> = found.collect();
    if !found.is_empty() {
        info!("raw pixels: {}", found.join(", "));
    }
}
