//! k-nearest neighbours.

use anyhow::Result;
use clap::Args;

use super::program::arguments;
use super::rounds::{Contest, Rounds};
use super::{Common, Figures};

/// Options of `bench knn`.
#[derive(Args)]
pub(crate) struct Knn {
    #[command(flatten)]
    pub(super) common: Common,
    /// Number of images to classify.
    #[arg(long, default_value_t = 10_000)]
    queries: usize,
    /// Number of images in the bank.
    #[arg(long, default_value_t = 50_000)]
    bank: usize,
    /// Length of a feature.
    #[arg(long, default_value_t = 512)]
    dim: usize,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    devices: Vec<String>,
    /// PyTorch's variants: eager, or malloc and pin joined by `+`.
    #[arg(long, value_delimiter = ',', default_value = "eager,eager+malloc")]
    variants: Vec<String>,
    /// PyTorch's device.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
}

impl Knn {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let rounds = Rounds::new(&self.common, "knn_time", &self.devices, &self.variants)?;
        Ok(vec![rounds.compare(self)?])
    }

    fn on(&self, device: &str) -> Vec<String> {
        let Self { queries, bank, dim, .. } = self;
        arguments(&[("queries", queries), ("bank", bank), ("dim", dim), ("device", &device)])
    }
}

impl Contest for Knn {
    fn words(&self) -> String {
        format!("k-NN of {} queries in {} x {}, k = 20", self.queries, self.bank, self.dim)
    }

    fn unit(&self) -> &'static str {
        "queries/s"
    }

    fn per_run(&self) -> usize {
        self.queries
    }

    fn of_ours(&self, device: &str) -> Vec<String> {
        self.on(device)
    }

    fn of_theirs(&self, variant: &str) -> (&'static str, Vec<String>) {
        ("knn.py", [self.on(&self.baseline_device), arguments(&[("variant", &variant)])].concat())
    }
}
