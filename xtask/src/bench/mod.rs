//! `cargo xtask bench`: burn-ssl and PyTorch in turn on the same work, medians and their ratios.
//!
//! Both sides are programs of their own that print one JSON object: ours are examples of the crates, PyTorch's are the
//! scripts of `xtask/baseline`. They run one after the other, round by round, so that a noisy machine is noisy for both.

mod accuracy;
mod all;
mod archive;
mod augment;
mod environment;
mod figures;
mod knn;
mod loader;
mod loss;
mod machine;
mod memory;
mod program;
mod step;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use archive::archive;
use environment::Cap;
use figures::Figures;
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
    /// The memory that runs expect, against the peak that they reach: every method, ResNets and ViTs, on `flex`.
    Memory(memory::Memory),
    /// All of these with their defaults: what the documentation quotes.
    All(all::All),
    /// k-NN accuracy of every method after short runs, ours and PyTorch's, in phases; hours.
    Accuracy(accuracy::Accuracy),
}

/// What every benchmark takes.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// A Python that has torch and torchvision, and albumentations and OpenCV for `augment` and `loader`.
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
    /// The widest vector instructions for both sides (Linux on x86-64), for figures of another kind of processor; the
    /// names of archived files carry it.
    #[arg(long, value_enum)]
    cap: Option<Cap>,
    /// Runs the programs that an earlier run has built.
    #[arg(long)]
    no_build: bool,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let load_before = machine::load_average();
    let (name, common, figures) = match &bench.what {
        What::Augment(augment) => ("augment", &augment.common, augment.run()?),
        What::Step(step) => ("step", &step.common, step.run()?),
        What::Loader(loader) => ("loader", &loader.common, loader.run()?),
        What::Loss(loss) => ("loss", &loss.common, loss.run()?),
        What::Knn(knn) => ("knn", &knn.common, knn.run()?),
        What::Memory(memory) => return memory.run(),
        What::All(all) => return all.run(),
        What::Accuracy(accuracy) => return accuracy.run(),
    };
    let tables = figures::tables(&figures);
    println!("{tables}");
    if common.archive.is_some() { archive(name, common, &figures, &tables, &load_before) } else { Ok(()) }
}
