//! NT-Xent, forward and backward.

use anyhow::Result;
use clap::Args;

use super::program::arguments;
use super::rounds::{Contest, Rounds};
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
        let rounds = Rounds::new(&self.common, "loss_time", &self.devices, &self.variants)?;
        self.sizes.iter().map(|&size| rounds.compare(&LossOf { loss: self, size })).collect()
    }
}

/// The loss of a batch of `size` images.
struct LossOf<'a> {
    loss: &'a Loss,
    size: usize,
}

impl LossOf<'_> {
    fn on(&self, device: &str) -> Vec<String> {
        let Self { loss, size } = self;
        // About as much work at every size.
        let runs = (4096 * 4096 / (size * size)).clamp(1, 20) + 1;
        arguments(&[("batch", size), ("dim", &loss.dim), ("runs", &runs), ("device", &device)])
    }
}

impl Contest for LossOf<'_> {
    fn words(&self) -> String {
        format!("NT-Xent, N = {}, dim {}, forward and backward", self.size, self.loss.dim)
    }

    fn per_run(&self) -> usize {
        self.size
    }

    fn rivals<'a>(&self, asked: &[&'a str]) -> Vec<&'a str> {
        if self.size <= self.loss.baseline_limit { asked.to_vec() } else { Vec::new() }
    }

    fn of_ours(&self, device: &str) -> Vec<String> {
        self.on(device)
    }

    fn of_theirs(&self, variant: &str) -> (&'static str, Vec<String>) {
        ("loss.py", [self.on(&self.loss.baseline_device), arguments(&[("variant", &variant)])].concat())
    }
}
