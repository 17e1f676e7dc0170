//! The commands that take an encoder and labelled images.

use anyhow::Result;
use burn_ssl::eval::KnnConfig;
use burn_ssl::{KnnOptions, RunReport, evaluate_knn, linear_probe, segment};

use crate::args::{KnnArgs, LinearArgs, SegmentArgs};
use crate::here::Here;
use crate::progress::Bar;

pub(super) fn run_knn(args: KnnArgs, here: &Here) -> Result<RunReport> {
    let encoder = args.encoder.source(args.seed.unwrap_or(0) as u64)?;
    let options = KnnOptions {
        sets: args.sets.options(&args.machine),
        knn: KnnConfig { k: args.k, temperature: args.temperature },
        device: here.device(&args.machine.device)?,
        group: here.group(),
        ..KnnOptions::new(encoder)
    };
    Ok(evaluate_knn(&options)?.into())
}

pub(super) fn run_segment(args: SegmentArgs, here: &Here) -> Result<RunReport> {
    Ok(segment(&args.options(here)?)?.into())
}

pub(super) fn run_linear(args: LinearArgs, here: &Here) -> Result<RunReport> {
    Ok(linear_probe(&args.options(here)?, &mut Bar::deaf(&here.bars))?.into())
}
