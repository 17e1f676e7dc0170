//! The commands that look at encoders and runs.

use anyhow::Result;
use burn_ssl::{CompareOptions, RunReport, SimilarOptions, compare, similar};

use crate::args::{CompareArgs, SimilarArgs};
use crate::here::Here;

pub(super) fn run_similar(args: SimilarArgs, here: &Here) -> Result<RunReport> {
    let SimilarArgs { encoded: args, query, top, out } = args;
    let encoder = args.encoder.source(args.seed as u64)?;
    let options = SimilarOptions {
        limit: args.limit.map(|limit| limit as usize),
        top: top as usize,
        preprocessing: args.preprocessing.options(),
        out,
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: here.device(&args.machine.device)?,
        ..SimilarOptions::new(encoder, args.data, query)
    };
    Ok(similar(&options)?.into())
}

pub(super) fn run_compare(args: CompareArgs) -> Result<RunReport> {
    let CompareArgs { runs, plot, overwrite } = args;
    Ok(compare(&CompareOptions { runs, plot, overwrite })?.into())
}
