//! Views per second.

use anyhow::Result;
use clap::Args;

use super::program::{Baseline, Example, arguments, variants};
use super::{Common, Figures, figures::Side};

/// Options of `bench augment`.
#[derive(Args)]
pub(crate) struct Augment {
    #[command(flatten)]
    pub(super) common: Common,
    /// Seconds that our side measures per size and round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rivals, out of albumentations, albumentations-area, pil, torchvision-v2 and torchvision-pil.
    #[arg(long, value_delimiter = ',', default_value = super::loader::LIBRARIES)]
    libraries: Vec<String>,
}

/// Sizes of a view, and the number of views a rival makes per round, which take about a second.
const SIZES: [(usize, usize); 2] = [(32, 2000), (224, 150)];

impl Augment {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "ssl-data", "augment_throughput", &["flex".into()])?;
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.libraries));
        let mut all: Vec<Figures> = SIZES.iter().map(|(size, _)| figures(*size, &rivals)).collect();
        for _ in 0..self.common.rounds {
            self.ours(&program, &mut all)?;
            if let Some(baseline) = &baseline {
                self.theirs(baseline, &rivals, &mut all)?;
            }
        }
        Ok(all)
    }

    fn ours(&self, program: &Example, all: &mut [Figures]) -> Result<()> {
        for (index, antialias) in [true, false].into_iter().enumerate() {
            let measured = program.measure("flex", &[self.seconds.to_string(), antialias.to_string()])?;
            for (figures, (size, _)) in all.iter_mut().zip(SIZES) {
                let rate = measured[format!("views_per_s_{size}")].as_f64().unwrap_or(f64::NAN);
                figures.ours[index].take(rate, &measured, self.common.cap)?;
            }
        }
        Ok(())
    }

    fn theirs(&self, baseline: &Baseline, rivals: &[&str], all: &mut [Figures]) -> Result<()> {
        for (figures, (size, views)) in all.iter_mut().zip(SIZES) {
            for (side, library) in figures.theirs.iter_mut().zip(rivals) {
                let options =
                    arguments(&[("library", library), ("size", &size), ("views", &views), ("repeats", &1)]);
                let measured = baseline.measure("augment.py", library, &options)?;
                let rate = measured["median_views_per_s"].as_f64().unwrap_or(f64::NAN);
                side.take(rate, &measured, self.common.cap)?;
            }
        }
        Ok(())
    }
}

fn figures(size: usize, rivals: &[&str]) -> Figures {
    Figures {
        work: format!("SimCLR views at {size} px, one core"),
        unit: "views/s".into(),
        per_run: None,
        operations: None,
        ours: super::loader::OURS.map(Side::new).into(),
        theirs: rivals.iter().map(|name| Side::new(*name)).collect(),
    }
}
