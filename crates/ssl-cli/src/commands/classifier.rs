//! The commands that take an encoder and labelled images.

use anyhow::Result;
use burn_ssl::eval::KnnConfig;
use burn_ssl::{KnnOptions, LinearOptions, RunReport, evaluate_knn, linear_probe};
use indicatif::MultiProgress;

use crate::args::{KnnArgs, LinearArgs};
use crate::progress::Bar;

pub(super) fn run_knn(args: KnnArgs) -> Result<RunReport> {
    let encoder = args.encoder.source(args.seed.unwrap_or(0) as u64)?;
    let options = KnnOptions {
        sets: args.sets.options(&args.machine),
        knn: KnnConfig { k: args.k, temperature: args.temperature },
        device: args.machine.device.parse()?,
        ..KnnOptions::new(encoder)
    };
    Ok(evaluate_knn(&options)?.into())
}

pub(super) fn run_linear(args: LinearArgs, bars: &MultiProgress) -> Result<RunReport> {
    let encoder = args.encoder.source(args.seed as u64)?;
    let mut options = LinearOptions {
        sets: args.sets.options(&args.machine),
        cached: args.cached,
        epochs: u64::from(args.epochs),
        batch_size: args.batch_size.map(|size| size as usize),
        seed: args.seed as u64,
        device: args.machine.device.parse()?,
        ..LinearOptions::new(encoder)
    };
    (options.optimizer.lr, options.optimizer.weight_decay) = (args.lr, args.weight_decay);
    Ok(linear_probe(&options, &mut Bar::deaf(bars))?.into())
}
