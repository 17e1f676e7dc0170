//! k-nearest neighbours.

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use xtask::median;

use super::figures::Side;
use super::program::{Baseline, Example, arguments, numbers, variants};
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
        let program = Example::new(&self.common, "burn-ssl", "knn_time", &self.devices)?;
        let mut ours: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.variants));
        let mut theirs: Vec<Side> =
            rivals.iter().map(|variant| Side::new(format!("torch {variant}"))).collect();
        let options = arguments(&[("queries", &self.queries), ("bank", &self.bank), ("dim", &self.dim)]);
        let on = |device: &str| [options.clone(), arguments(&[("device", &device)])].concat();
        for _ in 0..self.common.rounds {
            for (side, device) in ours.iter_mut().zip(&self.devices) {
                self.take(side, &program.measure(device, &on(device))?)?;
            }
            for (side, variant) in theirs.iter_mut().zip(&rivals) {
                let options = [on(&self.baseline_device), arguments(&[("variant", variant)])].concat();
                if let Some(baseline) = &baseline {
                    self.take(side, &baseline.measure("knn.py", variant, &options)?)?;
                }
            }
        }
        let work = format!("k-NN of {} queries in {} x {}, k = 20", self.queries, self.bank, self.dim);
        Ok(vec![Figures { work, unit: "queries/s", per_run: Some(self.queries as f64), ours, theirs }])
    }

    fn take(&self, side: &mut Side, measured: &Value) -> Result<()> {
        let seconds = median(&numbers(&measured["seconds"]));
        side.take(self.queries as f64 / seconds, measured, self.common.cap)
    }
}
