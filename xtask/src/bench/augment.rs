//! Views per second.

use anyhow::Result;
use clap::Args;

use super::program::{Example, arguments, measure_baseline, variants};
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
    #[arg(long, value_delimiter = ',', default_value = "albumentations,torchvision-pil,torchvision-v2")]
    libraries: Vec<String>,
}

/// Sides of a view, and how many views a rival makes per round: about a second's worth.
const SIZES: [(usize, usize); 2] = [(32, 4000), (224, 300)];

impl Augment {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "ssl-data", "augment_throughput", &["flex".into()])?;
        let rivals = variants(&self.common, &self.libraries);
        let mut all: Vec<Figures> = SIZES.iter().map(|(size, _)| figures(*size, &rivals)).collect();
        for _ in 0..self.common.rounds {
            let measured = program.measure("flex", &[self.seconds.to_string()])?;
            for (figures, (size, views)) in all.iter_mut().zip(SIZES) {
                let rate = measured[format!("views_per_s_{size}")].as_f64();
                figures.ours[0].take(rate.unwrap_or(f64::NAN), None);
                for (side, library) in figures.theirs.iter_mut().zip(&rivals) {
                    let options: [(&str, &dyn std::fmt::Display); 4] =
                        [("library", library), ("size", &size), ("views", &views), ("repeats", &1)];
                    if let Some(value) = measure_baseline(&self.common, "augment.py", &arguments(&options))? {
                        side.take(value["median_views_per_s"].as_f64().unwrap_or(f64::NAN), None);
                    }
                }
            }
        }
        Ok(all)
    }
}

fn figures(size: usize, rivals: &[&str]) -> Figures {
    Figures {
        work: format!("SimCLR views at {size} px, one core"),
        unit: "views/s",
        per_run: None,
        ours: vec![Side::new("burn-ssl")],
        theirs: rivals.iter().map(|name| Side::new(*name)).collect(),
    }
}
