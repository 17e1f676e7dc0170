//! `cargo xtask bench`: burn-ssl and PyTorch in turn on the same work, medians and their ratios.
//!
//! Both sides are programs of their own that print one JSON object: ours are examples of the crates, PyTorch's are the
//! scripts of `xtask/baseline`. They run one after the other, round by round, so that a noisy machine is noisy for both.

mod all;
mod archive;
mod augment;
mod figures;
mod knn;
mod loader;
mod loss;
mod machine;
mod program;
mod step;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use archive::archive;
use figures::Figures;
pub(crate) use figures::median;
pub(crate) use machine::{commit, said};
pub(crate) use program::build;

/// Runs benchmarks, against PyTorch if there is a `--baseline`.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Views per second of the SimCLR recipes at 32 and 224 pixels, on one core, from decoded images.
    Augment(augment::Augment),
    /// Images per second of a training step: forward, backward, SGD, on views made once; methods x devices x shapes.
    Step(step::Step),
    /// Images per second of the training loader, from files to batches, with one and two workers.
    Loader(loader::Loader),
    /// NT-Xent, forward and backward.
    Loss(loss::Loss),
    /// k-NN of 10,000 queries in a bank of 50,000 images.
    Knn(knn::Knn),
    /// All of them with their defaults.
    All(all::All),
}

/// What every benchmark takes.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// A Python that has torch and torchvision, and albumentations where augmentations are compared.
    #[arg(long, value_name = "PYTHON")]
    baseline: Option<PathBuf>,
    /// How often each side runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Writes figures, machine and versions to docs/benchmarks/<date>-<NAME>; NAME is made from processor and cores
    /// if none is given.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    archive: Option<String>,
    /// What to add to the names of the archived files.
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
    /// A folder that `cargo xtask pack` made: its programs run instead of built ones, and it gets the archive.
    #[arg(long, value_name = "DIR")]
    pack: Option<PathBuf>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let (name, common, figures) = match &bench.what {
        What::Augment(augment) => ("augment", &augment.common, augment.run()?),
        What::Step(step) => ("step", &step.common, step.run()?),
        What::Loader(loader) => ("loader", &loader.common, loader.run()?),
        What::Loss(loss) => ("loss", &loss.common, loss.run()?),
        What::Knn(knn) => ("knn", &knn.common, knn.run()?),
        What::All(all) => return all.run(),
    };
    let table = figures::table(&figures);
    println!("{table}");
    if common.archive.is_some() { archive(name, common, &figures, &table) } else { Ok(()) }
}
