//! `cargo xtask bench`: burn-ssl and PyTorch in turn on the same work, with medians and their ratios.
//!
//! Both sides are separate programs that print one JSON object: ours are examples of the crates, PyTorch's are the scripts
//! in `xtask/baseline`. They run one after the other, round by round, so that a noisy machine is noisy for both.

mod accuracy;
mod all;
mod archive;
mod augment;
mod embed;
mod environment;
mod figures;
mod knn;
mod loader;
mod loss;
mod machine;
mod memory;
mod plan;
mod program;
mod rounds;
mod row;
mod step;
mod tokens;
mod work;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use archive::Archive;
use environment::Cap;
use figures::Figures;
pub(crate) use machine::{commit, said};
use program::arguments;
pub(crate) use program::{build, target_folder};

/// Runs benchmarks, and compares with PyTorch if there is a `--baseline`.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Views per second of the SimCLR recipes at 32 and 224 pixels, on one core, from decoded images.
    Augment(augment::Augment),
    /// Images per second of a training step: forward, backward, optimizer, on views made once; rows, or methods x
    /// devices x shapes.
    Step(step::Step),
    /// Images per second of an encoder in evaluation mode: features, on images made once.
    Embed(embed::Embed),
    /// Images per second of the training loader, from files to batches, with one and two workers.
    Loader(loader::Loader),
    /// The NT-Xent loss, forward and backward.
    Loss(loss::Loss),
    /// Attention by the number of tokens, and an encoder by that of the patches it sees: seconds and memory.
    Tokens(tokens::TokensBench),
    /// k-NN of 10,000 queries in a bank of 50,000 images.
    Knn(knn::Knn),
    /// The memory that runs expect, against the peak that they reach: every method, ResNets and ViTs, on `flex`.
    Memory(memory::Memory),
    /// What `burn-ssl plan` says of runs, against what the finished runs take.
    Plan(plan::Plan),
    /// All of these with their defaults: the figures that the documentation quotes.
    All(all::All),
    /// k-NN accuracy of every method after short runs, ours and PyTorch's, in phases; takes hours.
    Accuracy(accuracy::Accuracy),
}

/// Options of every benchmark.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// A Python with torch and torchvision; `augment` and `loader` also need albumentations and OpenCV, `embed` onnx and
    /// onnxruntime.
    #[arg(long, value_name = "PYTHON")]
    baseline: Option<PathBuf>,
    /// How many times each side runs. From the third round on, variants of the other side that are more than a tenth behind are left out,
    /// except by `augment` and `loader`.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Writes figures, machine and versions to docs/benchmarks/<date>-<NAME>; by default, NAME is made from the processor
    /// and the number of cores.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    archive: Option<String>,
    /// A folder of docs/benchmarks to go on with, from the same machine, versions and sources: what it has is not measured again.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["archive", "pack"])]
    resume: Option<PathBuf>,
    /// A suffix for the names of the archived files.
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
    /// A folder made by `cargo xtask pack`: runs its programs instead of building them, and writes the archive there.
    #[arg(long, value_name = "DIR")]
    pack: Option<PathBuf>,
    /// The widest vector instructions for both sides (Linux on x86-64), for figures of another kind of processor; added to
    /// the names of the archived files.
    #[arg(long, value_enum)]
    cap: Option<Cap>,
    /// Runs the programs that an earlier run built.
    #[arg(long)]
    no_build: bool,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match &bench.what {
        What::Augment(augment) => measure("augment", &augment.common, whole(|| augment.run())),
        What::Step(step) => measure("step", &step.common, |archive| step.run(archive)),
        What::Embed(embed) => measure("embed", &embed.common, |archive| embed.run(archive)),
        What::Loader(loader) => measure("loader", &loader.common, whole(|| loader.run())),
        What::Loss(loss) => measure("loss", &loss.common, whole(|| loss.run())),
        What::Tokens(tokens) => measure("tokens", &tokens.common, whole(|| tokens.run())),
        What::Knn(knn) => measure("knn", &knn.common, whole(|| knn.run())),
        What::Memory(memory) => memory.run(),
        What::Plan(plan) => plan.run(),
        What::All(all) => all.run(),
        What::Accuracy(accuracy) => accuracy.run(),
    }
}

/// Measures and prints the tables.
fn measure(name: &str, common: &Common, run: impl FnOnce(&mut Archive) -> Result<()>) -> Result<()> {
    let mut archive = Archive::open(name, common)?;
    run(&mut archive)?;
    println!("{}", archive.tables());
    Ok(())
}

/// A benchmark that is archived at its end, and not continued.
fn whole(run: impl FnOnce() -> Result<Vec<Figures>>) -> impl FnOnce(&mut Archive) -> Result<()> {
    |archive| {
        if archive.is_empty() {
            return archive.add(run()?);
        }
        println!("already archived, as a whole");
        Ok(())
    }
}
