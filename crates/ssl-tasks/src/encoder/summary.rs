//! Which encoder a command uses, in words.

use std::fmt;

use serde::Serialize;
use ssl_encoders::{EncoderConfig, Family, Provenance};

/// The usual base width of a ResNet.
const USUAL_WIDTH: usize = 64;

/// Which encoder a command used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EncoderSummary {
    /// What it was read from.
    pub origin: EncoderOrigin,
    /// The method that trained it, or `finetune` or `distill`; none if the file does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Base width of a ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Optimizer steps done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Steps of the whole run, if it is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<u64>,
    /// Whole epochs done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Seed of the initial weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What an encoder was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EncoderOrigin {
    /// A finished run, or a fine-tuned or distilled classifier.
    Run,
    /// The newest intact checkpoint of a run that is not finished.
    Checkpoint,
    /// A file of weights.
    Weights,
    /// Nothing: initial values.
    Untrained,
}

impl EncoderSummary {
    pub(super) fn new(origin: EncoderOrigin, config: &EncoderConfig) -> Self {
        Self {
            origin,
            method: None,
            model: config.name.clone(),
            // Of a custom encoder, only its author knows what the width is.
            width: (!matches!(config.family(), Some(Family::Vit | Family::ConvNext))).then_some(config.width),
            steps: None,
            total_steps: None,
            epochs: None,
            seed: None,
        }
    }

    pub(super) fn with_provenance(self, provenance: &Provenance) -> Self {
        let Provenance { method, steps, seed, .. } = provenance;
        Self { method: method.clone(), steps: *steps, seed: *seed, ..self }
    }

    /// How far the run was; empty for a finished one.
    pub(super) fn unfinished(&self) -> String {
        match (self.steps, self.total_steps) {
            (Some(step), Some(total)) => format!("step {step} of {total}"),
            _ => String::new(),
        }
    }

    fn training(&self) -> Option<String> {
        let counted = |count: u64, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        let steps = self.steps.map(|steps| counted(steps, "step", "steps"));
        match (self.origin, self.epochs) {
            (EncoderOrigin::Untrained, _) => Some(format!("untrained, seed {}", self.seed.unwrap_or(0))),
            (EncoderOrigin::Checkpoint, _) => Some(format!("{} of an unfinished run", self.unfinished())),
            (_, Some(epochs)) => {
                let epochs = counted(epochs, "epoch", "epochs");
                Some(steps.map_or(epochs.clone(), |steps| format!("{epochs}, {steps}")))
            }
            (_, None) => steps,
        }
    }
}

impl fmt::Display for EncoderSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method}, ")?;
        }
        write!(f, "{}", self.model)?;
        if let Some(width) = self.width.filter(|&width| width != USUAL_WIDTH) {
            write!(f, " of width {width}")?;
        }
        if self.origin == EncoderOrigin::Weights {
            write!(f, " from a file of weights")?;
        }
        match self.training() {
            Some(training) => write!(f, ", {training}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(origin: EncoderOrigin) -> EncoderSummary {
        EncoderSummary::new(origin, &EncoderConfig { width: 8, ..EncoderConfig::named("resnet18") })
    }

    #[test]
    fn the_words_say_method_model_and_how_far_the_training_went() {
        let provenance =
            Provenance { method: Some("simclr".into()), steps: Some(18), ..Provenance::default() };
        let run = summary(EncoderOrigin::Run).with_provenance(&provenance);
        assert_eq!(run.to_string(), "simclr, resnet18 of width 8, 18 steps");
        let whole = EncoderSummary { epochs: Some(1), ..run.clone() };
        assert_eq!(whole.to_string(), "simclr, resnet18 of width 8, 1 epoch, 18 steps");
        let origin = EncoderOrigin::Checkpoint;
        let stopped = EncoderSummary { origin, total_steps: Some(120), epochs: Some(3), ..run };
        assert_eq!(stopped.to_string(), "simclr, resnet18 of width 8, step 18 of 120 of an unfinished run");
        let untrained = EncoderSummary { seed: Some(4), ..summary(EncoderOrigin::Untrained) };
        assert_eq!(untrained.to_string(), "resnet18 of width 8, untrained, seed 4");
        let of_torchvision = EncoderSummary::new(EncoderOrigin::Weights, &EncoderConfig::named("resnet50"));
        assert_eq!(of_torchvision.to_string(), "resnet50 from a file of weights");
    }
}
