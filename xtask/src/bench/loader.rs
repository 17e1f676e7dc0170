//! Images per second of the training loader.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::program::{Example, arguments, measure_baseline, numbers, variants};
use super::{Common, Figures, figures::Side};

/// Options of `bench loader`.
#[derive(Args)]
pub(crate) struct Loader {
    #[command(flatten)]
    pub(super) common: Common,
    /// Images of 32 pixels: a tar or a folder. Without it, random pixels in memory, and no rival.
    #[arg(long, value_name = "PATH")]
    pub(super) small: Option<PathBuf>,
    /// Photographs, for views of 224 pixels. Without it, random pixels in memory, and no rival.
    #[arg(long, value_name = "PATH")]
    large: Option<PathBuf>,
    /// Workers: our threads, PyTorch's processes.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Rivals, of torchvision-pil and torchvision-v2.
    #[arg(long, value_delimiter = ',', default_value = "torchvision-pil,torchvision-v2")]
    libraries: Vec<String>,
}

/// Sides of a view, and batches of 64 images that we and a rival make per round: a few seconds' worth.
const SIZES: [(usize, usize, usize); 2] = [(32, 200, 40), (224, 16, 6)];

impl Loader {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let program = Example::new(&self.common, "ssl-data", "loader_throughput", &["flex".into()])?;
        let mut all = Vec::new();
        for ((size, ours, theirs), data) in SIZES.into_iter().zip([&self.small, &self.large]) {
            for &workers in &self.workers {
                let work = Work { size, workers, data: data.as_deref(), batches: [ours, theirs] };
                all.push(self.compare(&program, &work)?);
            }
        }
        Ok(all)
    }

    fn compare(&self, program: &Example, work: &Work<'_>) -> Result<Figures> {
        let rivals = if work.data.is_some() { variants(&self.common, &self.libraries) } else { Vec::new() };
        let mut ours = Side::new("burn-ssl");
        let mut theirs: Vec<Side> = rivals.iter().map(|name| Side::new(*name)).collect();
        for _ in 0..self.common.rounds {
            let mut options = work.arguments(work.batches[0], &[("rounds", &1)]);
            options.extend(arguments(&[("decode", &"always")]));
            let measured = program.measure("flex", &options)?;
            numbers(&measured["runs"][0]["images_per_s"]).into_iter().for_each(|rate| ours.take(rate, None));
            for (side, library) in theirs.iter_mut().zip(&rivals) {
                let options = work.arguments(work.batches[1], &[("library", library)]);
                if let Some(measured) = measure_baseline(&self.common, "loader.py", &options)? {
                    side.take(measured["images_per_s"].as_f64().unwrap_or(f64::NAN), None);
                }
            }
        }
        Ok(Figures { work: work.in_words(), unit: "images/s", per_run: None, ours: vec![ours], theirs })
    }
}

struct Work<'a> {
    size: usize,
    workers: usize,
    data: Option<&'a Path>,
    batches: [usize; 2],
}

impl Work<'_> {
    fn in_words(&self) -> String {
        let images = if self.data.is_some() { "files" } else { "random pixels" };
        format!("two SimCLR views at {} px from {images}, {} worker(s)", self.size, self.workers)
    }

    fn arguments(&self, batches: usize, more: &[(&str, &dyn Display)]) -> Vec<String> {
        let mut all = arguments(&[("size", &self.size), ("workers", &self.workers), ("batches", &batches)]);
        all.extend(self.data.into_iter().flat_map(|path| arguments(&[("data", &path.display())])));
        all.extend(arguments(more));
        all
    }
}
