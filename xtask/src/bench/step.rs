//! Images per second of a training step.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::figures::{Side, median};
use super::program::{arguments, build_example, measure, measure_baseline, numbers};
use super::{Common, Figures};

/// Options of `bench step`.
#[derive(Args)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(super) common: Common,
    /// Encoder.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Base width of the encoder.
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// Side of a view in pixels.
    #[arg(long, default_value_t = 32)]
    image_size: usize,
    /// Images in a batch; each has two views.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Our devices.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    devices: Vec<String>,
    /// Cargo features that have these devices.
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// PyTorch's variants, of eager, channels_last, compile and amp.
    #[arg(long, value_delimiter = ',', default_value = "eager,channels_last")]
    variants: Vec<String>,
    /// PyTorch's device.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
    /// Timed steps per round.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
}

impl Step {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = build_example("burn-ssl", "step_time", &self.features)?;
        let mut sides: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let rivals = if self.common.baseline.is_some() { self.variants.as_slice() } else { &[] };
        sides.extend(rivals.iter().map(|variant| Side::new(format!("torch {variant}"))));
        for _ in 0..self.common.rounds {
            let (ours, theirs) = sides.split_at_mut(self.devices.len());
            for (side, device) in ours.iter_mut().zip(&self.devices) {
                self.take(side, &measure(&program, &self.arguments(&[("device", device)]))?);
            }
            for (side, variant) in theirs.iter_mut().zip(rivals) {
                self.take(side, &self.rival(variant)?);
            }
        }
        let work =
            format!("{} width {}, {} px, batch {}", self.model, self.width, self.image_size, self.batch);
        Ok(vec![Figures { work, unit: "images/s", sides }])
    }

    fn rival(&self, variant: &str) -> Result<Value> {
        let python = self.common.baseline.as_deref().unwrap_or(Path::new("python3"));
        let more = [("device", self.baseline_device.as_str()), ("variant", variant)];
        measure_baseline(python, "step.py", &self.arguments(&more))
    }

    fn arguments(&self, more: &[(&str, &str)]) -> Vec<String> {
        let mut all = arguments(&[
            ("model", &self.model),
            ("width", &self.width),
            ("image-size", &self.image_size),
            ("batch", &self.batch),
            ("steps", &self.steps),
            ("warmup", &self.warmup),
        ]);
        all.extend(more.iter().flat_map(|(flag, value)| [format!("--{flag}"), (*value).to_owned()]));
        all
    }

    fn take(&self, side: &mut Side, measured: &Value) {
        let seconds = numbers(&measured["step_seconds"]);
        side.figures.push(self.batch as f64 / median(&seconds));
        side.remember_peak(measured["peak_memory_bytes"].as_f64());
    }
}
