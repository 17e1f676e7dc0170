//! `cargo xtask bench`: burn-ssl and PyTorch in turn on the same work, medians and their ratios.
//!
//! Both sides are programs of their own that print one JSON object: ours are examples of the crates, PyTorch's are the
//! scripts of `xtask/baseline`. They run one after the other, round by round, so that a noisy machine is noisy for both.

mod archive;
mod augment;
mod figures;
mod program;
mod step;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use archive::archive;
use figures::Figures;

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
    /// Images per second of a training step: forward, backward, SGD, on views made once.
    Step(step::Step),
}

/// What every benchmark takes.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// A Python that has torch and torchvision, and albumentations where augmentations are compared.
    #[arg(long, value_name = "PYTHON")]
    baseline: Option<PathBuf>,
    /// How often each side runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes figures, machine and versions to docs/benchmarks/<date>-<NAME>.
    #[arg(long, value_name = "NAME")]
    archive: Option<String>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let (name, common, figures) = match &bench.what {
        What::Augment(augment) => ("augment", &augment.common, augment.run()?),
        What::Step(step) => ("step", &step.common, step.run()?),
    };
    let table = figures::table(&figures);
    println!("{table}");
    match &common.archive {
        Some(machine) => archive(name, machine, &figures, &table),
        None => Ok(()),
    }
}
