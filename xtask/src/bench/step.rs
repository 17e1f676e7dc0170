//! Images per second of a training step.

use std::str::FromStr;

use anyhow::{Context, Error, Result};
use burn_ssl::registry::{METHODS, MethodInfo, needs};
use clap::Args;
use serde_json::Value;
use xtask::median;

use super::figures::Side;
use super::program::{Baseline, Example, arguments, numbers, variants};
use super::{Common, Figures};

/// The method with a baseline in PyTorch, `xtask/baseline/step.py`.
const WITH_BASELINE: &str = "simclr";

/// All combinations of channels_last, compile and malloc except `eager+malloc`, `compile` and `channels_last+compile`.
const VARIANTS: &str = "eager,channels_last,channels_last+malloc,compile+malloc,channels_last+compile+malloc";

/// Options of `bench step`.
#[derive(Args)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(super) common: Common,
    /// Methods, or `all`. PyTorch's side is written for simclr.
    #[arg(long, value_delimiter = ',', default_value = "simclr")]
    methods: Vec<String>,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    pub(super) devices: Vec<String>,
    /// Encoder.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Base widths of the encoder, 64 for a ViT, for a ConvNeXt that of the first stage, and images in a batch, each of which has
    /// two views.
    #[arg(long, value_delimiter = ',', value_name = "WIDTH/BATCH", default_value = "64/32,16/64")]
    shapes: Vec<Shape>,
    /// Width and height of a view in pixels.
    #[arg(long, default_value_t = 32)]
    image_size: usize,
    /// PyTorch's variants: eager, or several of channels_last, compile, malloc, pin and amp joined by `+`.
    ///
    /// `malloc` is the setting of the C library that our side uses too. Three combinations of the first four are left
    /// out of the defaults to save time: each lacks `malloc` or `channels_last` and otherwise equals one of the defaults.
    #[arg(long, value_delimiter = ',', default_value = VARIANTS)]
    variants: Vec<String>,
    /// PyTorch's device.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
    /// Width and height of a ViT's patches.
    #[arg(long, default_value_t = 16)]
    patch_size: usize,
    /// Timed steps per round.
    #[arg(long, default_value_t = 4)]
    steps: usize,
    /// Warm-up steps before them.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
}

/// Base width of the encoder and images in a batch, written `64/32`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    width: usize,
    batch: usize,
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split_once('/').and_then(|(width, batch)| Some((width.parse().ok()?, batch.parse().ok()?)));
        let (width, batch) = numbers
            .with_context(|| format!("'{text}' is not a shape, expected WIDTH/BATCH such as 64/32"))?;
        Ok(Self { width, batch })
    }
}

impl Step {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "burn-ssl", "step_time", &self.devices)?;
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.variants));
        let mut all = Vec::new();
        for &shape in &self.shapes {
            for method in self.methods() {
                let rivals = if method == WITH_BASELINE { rivals.as_slice() } else { &[] };
                all.push(self.compare(&program, baseline.as_ref(), method, shape, rivals)?);
            }
        }
        Ok(all)
    }

    fn methods(&self) -> Vec<&str> {
        match self.methods.as_slice() {
            [all] if all == "all" => {
                let takes = |method: &&MethodInfo| {
                    self.model.starts_with("vit") || needs(method.name).is_ok_and(|needs| !needs.tokens)
                };
                METHODS.iter().filter(takes).map(|method| method.name).collect()
            }
            some => some.iter().map(String::as_str).collect(),
        }
    }

    fn compare(
        &self,
        program: &Example,
        baseline: Option<&Baseline>,
        method: &str,
        shape: Shape,
        rivals: &[&str],
    ) -> Result<Figures> {
        let mut ours: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let mut theirs: Vec<Side> =
            rivals.iter().map(|variant| Side::new(format!("torch {variant}"))).collect();
        for _ in 0..self.common.rounds {
            for (side, device) in ours.iter_mut().zip(&self.devices) {
                let options = self.arguments(shape, &[("method", method), ("device", device)]);
                self.take(side, shape, &program.measure(device, &options)?)?;
            }
            for (side, variant) in theirs.iter_mut().zip(rivals) {
                let options =
                    self.arguments(shape, &[("device", &self.baseline_device), ("variant", variant)]);
                if let Some(baseline) = baseline {
                    self.take(side, shape, &baseline.measure("step.py", variant, &options)?)?;
                }
            }
        }
        let (model, size, Shape { width, batch }) = (&self.model, self.image_size, shape);
        let shape = match model.starts_with("vit") {
            true => format!("patches of {}", self.patch_size),
            false => format!("width {width}"),
        };
        let work = format!("{method}, {model} {shape}, {size} px, batch {batch}");
        Ok(Figures { work, unit: "images/s", per_run: Some(batch as f64), ours, theirs })
    }

    fn take(&self, side: &mut Side, shape: Shape, measured: &Value) -> Result<()> {
        let seconds = numbers(&measured["step_seconds"]);
        side.take(shape.batch as f64 / median(&seconds), measured, self.common.cap)
    }

    fn arguments(&self, shape: Shape, more: &[(&str, &str)]) -> Vec<String> {
        let mut all = arguments(&[
            ("model", &self.model),
            ("width", &shape.width),
            ("image-size", &self.image_size),
            ("patch-size", &self.patch_size),
            ("batch", &shape.batch),
            ("steps", &self.steps),
            ("warmup", &self.warmup),
        ]);
        all.extend(more.iter().flat_map(|(flag, value)| [format!("--{flag}"), (*value).to_owned()]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn a_shape_is_a_width_and_a_batch() {
        assert_eq!("64/32".parse::<Shape>().expect("a shape"), Shape { width: 64, batch: 32 });
        let error = "64x32".parse::<Shape>().expect_err("no shape").to_string();
        assert_eq!(error, "'64x32' is not a shape, expected WIDTH/BATCH such as 64/32");
    }
}
