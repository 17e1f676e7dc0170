//! Options of the commands that look at encoders and runs.

use std::path::PathBuf;

use burn_ssl::RunsOrder;
use clap::Args;

use super::{EncodedArgs, ImageArgs, MachineArgs, defaults};

/// What a method is to be recommended for.
#[derive(Args)]
pub(crate) struct MethodsArgs {
    /// Images to recommend a method for; whether they have labels and how many there are is looked up.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["images", "labels"])]
    pub(crate) data: Option<PathBuf>,
    /// Number of images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) images: Option<u32>,
    /// Every image has a label.
    #[arg(long)]
    pub(crate) labels: bool,
    /// Images per step.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: u32,
}

#[derive(Args)]
pub(crate) struct SimilarArgs {
    #[command(flatten)]
    pub(crate) encoded: EncodedArgs,
    /// Image to search with: a file, or the name of an image in --data; can be repeated.
    #[arg(long, value_name = "IMAGE", required = true)]
    pub(crate) query: Vec<PathBuf>,
    /// Number of images to find for each.
    #[arg(long, value_name = "N", default_value_t = defaults::similar().top as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: u32,
    /// Sheet to draw, a PNG: a row for each query, the query first.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ClassifyArgs {
    /// Directory of a classifier, as finetune and distill write it.
    #[arg(long, value_name = "DIR")]
    pub(crate) run: PathBuf,
    /// Images, labelled or not.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// Use only N of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    /// Classes to name for each image, the most likely first.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: u32,
    /// Table to write, a CSV with `file`, `class` and `score` [default: none, print them].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Run directories: in progress, stopped or finished.
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Picture of losses and evaluations to draw, a PNG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Run directory; with several, the runs are compared.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) run: Vec<PathBuf>,
    /// File to write [default: report.html in the directory of a single run, else in the current one].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Training images to show, at most 2000 [default: 512, or 192 if they are larger than 64 pixels].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) images: Option<u32>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct RunsArgs {
    /// Folder to search, with the folders in it.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Order: path, method, epochs, loss, knn, linear, state or time; the best and the longest come first.
    #[arg(long, value_name = "ORDER", default_value_t)]
    pub(crate) sort: RunsOrder,
}

#[derive(Args)]
pub(crate) struct DedupArgs {
    #[command(flatten)]
    pub(crate) encoded: EncodedArgs,
    /// Table to write, a CSV: a row for each image with `keep`, and for near-duplicates their group.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Least cosine of the features of near-duplicates.
    #[arg(long, value_name = "X", default_value_t = defaults::dedup().cosine, allow_negative_numbers = true)]
    pub(crate) cosine: f64,
    /// Most bits in which their perceptual hashes differ, of 64; 64 leaves it to the features.
    #[arg(long, value_name = "N", default_value_t = defaults::dedup().distance)]
    pub(crate) distance: u32,
}
