//! The commands that take an encoder and labelled images.

use anyhow::Result;
use burn_ssl::eval::KnnConfig;
use burn_ssl::{KnnOptions, LinearOptions, evaluate_knn, linear_probe};
use indicatif::MultiProgress;

use crate::args::{KnnArgs, LinearArgs};
use crate::output::print;
use crate::progress::Bar;

pub(super) fn run_knn(args: KnnArgs, json: bool) -> Result<()> {
    let encoder = args.encoder.source(args.seed.unwrap_or(0) as u64)?;
    let options = KnnOptions {
        sets: args.sets.options(&args.machine),
        knn: KnnConfig { k: args.k, temperature: args.temperature },
        device: args.machine.device.parse()?,
        ..KnnOptions::new(encoder)
    };
    let report = evaluate_knn(&options)?;
    let (top1, top5, images) = (report.knn_top1, report.knn_top5, report.images);
    print(json, &report, format!("k-NN accuracy on {images} images: {top1:.2} %, top-5 {top5:.2} %"))
}

pub(super) fn run_linear(args: LinearArgs, json: bool, bars: &MultiProgress) -> Result<()> {
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
    let report = linear_probe(&options, &mut Bar::deaf(bars))?;
    let (top1, top5, images) = (report.linear_top1, report.linear_top5, report.images);
    let words = format!(
        "linear accuracy on {images} images: {top1:.2} %, top-5 {top5:.2} %\n{} epochs on {} images in {:.0} s, loss {:.4}",
        report.epochs, report.train_images, report.seconds, report.train_loss
    );
    print(json, &report, words)
}
