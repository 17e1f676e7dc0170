//! NT-Xent, forward and backward.

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use xtask::median;

use super::figures::Side;
use super::program::{Baseline, Example, arguments, numbers, variants};
use super::{Common, Figures};

/// Options of `bench loss`.
#[derive(Args)]
pub(crate) struct Loss {
    #[command(flatten)]
    pub(super) common: Common,
    /// Images in a batch, each with two embeddings.
    #[arg(long, value_delimiter = ',', default_value = "512,4096")]
    sizes: Vec<usize>,
    /// The largest size that PyTorch runs: it holds several matrices of (2 x size)^2 numbers.
    #[arg(long, default_value_t = 4096)]
    baseline_limit: usize,
    /// Length of an embedding.
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    devices: Vec<String>,
    /// PyTorch's variants: eager, or several of compile, malloc and pin joined by `+`.
    #[arg(long, value_delimiter = ',', default_value = "eager,eager+malloc,compile+malloc")]
    variants: Vec<String>,
    /// PyTorch's device.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
}

impl Loss {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "burn-ssl", "loss_time", &self.devices)?;
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.variants));
        let rivals_at = |size: usize| if size <= self.baseline_limit { rivals.as_slice() } else { &[] };
        let compare = |&size: &usize| self.compare(&program, baseline.as_ref(), size, rivals_at(size));
        self.sizes.iter().map(compare).collect()
    }

    fn compare(
        &self,
        program: &Example,
        baseline: Option<&Baseline>,
        size: usize,
        rivals: &[&str],
    ) -> Result<Figures> {
        let mut ours: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let mut theirs: Vec<Side> =
            rivals.iter().map(|variant| Side::new(format!("torch {variant}"))).collect();
        // About as much work at every size.
        let runs = (4096 * 4096 / (size * size)).clamp(1, 20) + 1;
        let options = arguments(&[("batch", &size), ("dim", &self.dim), ("runs", &runs)]);
        let with = |more: &[(&str, &dyn std::fmt::Display)]| [options.clone(), arguments(more)].concat();
        for _ in 0..self.common.rounds {
            for (side, device) in ours.iter_mut().zip(&self.devices) {
                self.take(side, size, &program.measure(device, &with(&[("device", device)]))?)?;
            }
            for (side, variant) in theirs.iter_mut().zip(rivals) {
                let options = with(&[("device", &self.baseline_device), ("variant", variant)]);
                if let Some(baseline) = baseline {
                    self.take(side, size, &baseline.measure("loss.py", variant, &options)?)?;
                }
            }
        }
        let work = format!("NT-Xent, N = {size}, dim {}, forward and backward", self.dim);
        Ok(Figures { work, unit: "images/s", per_run: Some(size as f64), ours, theirs })
    }

    fn take(&self, side: &mut Side, size: usize, measured: &Value) -> Result<()> {
        let seconds = median(&numbers(&measured["seconds"]));
        side.take(size as f64 / seconds, measured, self.common.cap)
    }
}
