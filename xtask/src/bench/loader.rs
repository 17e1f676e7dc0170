//! Images per second of the training loader.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::program::{Baseline, Example, arguments, numbers, variants};
use super::{Common, Figures, figures::Side};

/// The rivals: the fastest library and its way of antialiasing, what the official code of most methods uses, and
/// torchvision's newer transforms.
pub(super) const LIBRARIES: &str = "albumentations,albumentations-area,pil,torchvision-v2";

/// Our sides: with antialiasing, and without it, as in albumentations.
pub(super) const OURS: [&str; 2] = ["burn-ssl", "burn-ssl, aliased"];

/// Options of `bench loader`.
#[derive(Args)]
pub(crate) struct Loader {
    #[command(flatten)]
    pub(super) common: Common,
    /// Images of 32 pixels: a tar or a folder. Without it, random pixels in memory and no rivals.
    #[arg(long, value_name = "PATH")]
    pub(super) small: Option<PathBuf>,
    /// Photographs, for views of 224 pixels. Without it, random pixels in memory and no rivals.
    #[arg(long, value_name = "PATH")]
    large: Option<PathBuf>,
    /// Numbers of workers: threads on our side, processes in PyTorch.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Rivals, out of albumentations, albumentations-area, pil, torchvision-v2 and torchvision-pil.
    #[arg(long, value_delimiter = ',', default_value = LIBRARIES)]
    libraries: Vec<String>,
    /// Minimum seconds that a rival measures per size, number of workers and round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Side of a view, images in a batch, and our batches per round, which take about as long as a rival's.
struct Size {
    pixels: usize,
    batch: usize,
    batches: usize,
}

const SIZES: [Size; 2] =
    [Size { pixels: 32, batch: 64, batches: 1000 }, Size { pixels: 224, batch: 32, batches: 40 }];

impl Loader {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "ssl-data", "loader_throughput", &["flex".into()])?;
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.libraries));
        let mut all = Vec::new();
        for (size, data) in SIZES.iter().zip([&self.small, &self.large]) {
            let baseline = baseline.as_ref().filter(|_| data.is_some());
            let mut rivals = if data.is_some() { rivals.clone() } else { Vec::new() };
            // Crops of small images never shrink: there is nothing to antialias.
            rivals.retain(|library| size.pixels > 32 || *library != "albumentations-area");
            let mut figures: Vec<Figures> =
                self.workers.iter().map(|&workers| figures(size, workers, data.is_some(), &rivals)).collect();
            for _ in 0..self.common.rounds {
                self.round(&program, baseline, size, data.as_deref(), &mut figures)?;
            }
            all.extend(figures);
        }
        Ok(all)
    }

    /// Runs each side once; a program measures all numbers of workers.
    fn round(
        &self,
        program: &Example,
        baseline: Option<&Baseline>,
        size: &Size,
        data: Option<&Path>,
        all: &mut [Figures],
    ) -> Result<()> {
        for (index, antialias) in [true, false].into_iter().enumerate() {
            let mut options = self.arguments(size, data);
            options.extend(arguments(&[
                ("batches", &size.batches),
                ("rounds", &1),
                ("decode", &"always"),
                ("antialias", &antialias),
            ]));
            let measured = program.measure("flex", &options)?;
            self.take(all, |figures| &mut figures.ours[index], &measured)?;
        }
        let libraries: Vec<String> = all[0].theirs.iter().map(|side| side.name.clone()).collect();
        for (index, library) in libraries.iter().enumerate() {
            let mut options = self.arguments(size, data);
            options.extend(arguments(&[("library", library), ("seconds", &self.seconds)]));
            if let Some(baseline) = baseline {
                let measured = baseline.measure("loader.py", library, &options)?;
                self.take(all, |figures| &mut figures.theirs[index], &measured)?;
            }
        }
        Ok(())
    }

    fn take(
        &self,
        all: &mut [Figures],
        side: impl Fn(&mut Figures) -> &mut Side,
        measured: &Value,
    ) -> Result<()> {
        for (index, figures) in all.iter_mut().enumerate() {
            let run = &measured["runs"][index];
            let says =
                json!({ "cpu_us_per_image": one(&run["cpu_us_per_image"]), "vectors": measured["vectors"] });
            side(figures).take(one(&run["images_per_s"]), &says, self.common.cap)?;
        }
        Ok(())
    }

    fn arguments(&self, size: &Size, data: Option<&Path>) -> Vec<String> {
        let workers = self.workers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let mut all = arguments(&[("size", &size.pixels), ("batch", &size.batch), ("workers", &workers)]);
        all.extend(data.into_iter().flat_map(|path| arguments(&[("data", &path.display())])));
        all
    }
}

/// A number, or the only one in an array: our program keeps a list of rounds.
fn one(value: &Value) -> f64 {
    value.as_f64().or_else(|| numbers(value).first().copied()).unwrap_or(f64::NAN)
}

fn figures(size: &Size, workers: usize, from_files: bool, rivals: &[&str]) -> Figures {
    let images = if from_files { "files" } else { "random pixels" };
    Figures {
        work: format!("two SimCLR views at {} px from {images}, {workers} worker(s)", size.pixels),
        unit: "images/s".into(),
        per_run: None,
        operations: None,
        ours: OURS.map(Side::new).into(),
        theirs: rivals.iter().map(|name| Side::new(*name)).collect(),
    }
}
