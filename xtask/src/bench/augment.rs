//! Views per second.

use anyhow::Result;
use clap::Args;

use super::program::{arguments, build_example, measure, measure_baseline};
use super::{Common, Figures, figures::Side};

/// Options of `bench augment`.
#[derive(Args)]
pub(crate) struct Augment {
    #[command(flatten)]
    pub(super) common: Common,
    /// Seconds that our side measures per size and round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rivals, of torchvision-pil, torchvision-v2 and albumentations.
    #[arg(long, value_delimiter = ',', default_value = "albumentations,torchvision-pil")]
    libraries: Vec<String>,
}

/// Sides of a view, and how many views a rival makes per round: about a second's worth.
const SIZES: [(usize, usize); 2] = [(32, 4000), (224, 600)];

impl Augment {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = build_example("ssl-data", "augment_throughput", &[])?;
        let rivals = if self.common.baseline.is_some() { self.libraries.as_slice() } else { &[] };
        let mut all: Vec<Figures> = SIZES.iter().map(|(size, _)| figures(*size, rivals)).collect();
        for _ in 0..self.common.rounds {
            let ours = measure(&program, &[self.seconds.to_string()])?;
            for (figures, (size, views)) in all.iter_mut().zip(SIZES) {
                figures.sides[0].figures.extend(ours[format!("views_per_s_{size}")].as_f64());
                for side in &mut figures.sides[1..] {
                    side.figures.extend(self.rival(&side.name, size, views)?);
                }
            }
        }
        Ok(all)
    }

    fn rival(&self, library: &str, size: usize, views: usize) -> Result<Option<f64>> {
        let Some(python) = &self.common.baseline else { return Ok(None) };
        let arguments =
            arguments(&[("library", &library), ("size", &size), ("views", &views), ("repeats", &1)]);
        Ok(measure_baseline(python, "augment.py", &arguments)?["median_views_per_s"].as_f64())
    }
}

fn figures(size: usize, rivals: &[String]) -> Figures {
    let sides = std::iter::once(Side::new("burn-ssl")).chain(rivals.iter().map(Side::new)).collect();
    Figures { work: format!("SimCLR views at {size} px, one core"), unit: "views/s", sides }
}
