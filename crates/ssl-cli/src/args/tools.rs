//! Options of `methods`, `similar` and `compare`.

use std::path::PathBuf;

use clap::Args;

use super::{EncodedArgs, defaults};

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
