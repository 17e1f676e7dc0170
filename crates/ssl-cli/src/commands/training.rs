//! The commands that train a classifier in a directory, and `embed`.

use anyhow::Result;
use burn_ssl::eval::DistillationConfig;
use burn_ssl::{
    DistillOptions, DistillReport, EmbedOptions, FinetuneOptions, FinetuneReport, distill, embed_images,
    finetune,
};
use indicatif::MultiProgress;

use crate::args::{DistillArgs, EmbedArgs, FinetuneArgs};
use crate::output::print;
use crate::progress::Bar;
use crate::{Ended, interrupt};

pub(super) fn run_finetune(args: FinetuneArgs, json: bool, bars: &MultiProgress) -> Result<Ended> {
    let encoder = args.encoder.source(args.seed as u64)?;
    let mut options = FinetuneOptions {
        sets: args.sets.options(&args.machine),
        fraction: args.fraction,
        from_head_layer: args.from_head_layer.map(|layers| layers as usize),
        epochs: args.epochs.map(u64::from),
        batch_size: args.optimizer.batch_size.map(|size| size as usize),
        warmup_epochs: args.optimizer.warmup_epochs.unwrap_or(0.0),
        seed: args.seed as u64,
        device: args.machine.device.parse()?,
        overwrite: args.out.overwrite,
        resume: args.out.resume,
        ..FinetuneOptions::new(encoder, args.out.out)
    };
    args.optimizer.apply(&mut options.optimizer)?;
    let report = finetune(&options, &mut Bar::new(bars, interrupt::on_signal()?))?;
    print(json, &report, finetune_words(&report))?;
    Ok(ended(report.finished, report.steps, "finetune"))
}

fn finetune_words(report: &FinetuneReport) -> String {
    let FinetuneReport { train_images, classes, epochs, seconds, train_loss, images, out, .. } = report;
    let mut words = format!(
        "{epochs} epochs on {train_images} images of {classes} classes in {seconds:.0} s, loss of the last epoch {train_loss:.4}"
    );
    if let (Some(top1), Some(top5)) = (report.finetune_top1, report.finetune_top5) {
        words += &format!("\naccuracy on {images} images: {top1:.2} %, top-5 {top5:.2} %");
        words += &format!("\nclassifier: {}", out.join("classifier.safetensors").display());
    }
    words
}

pub(super) fn run_distill(args: DistillArgs, json: bool, bars: &MultiProgress) -> Result<Ended> {
    let number = |value: Option<u32>| value.map(|value| value as usize);
    let mut student = args.model.config()?;
    if args.init.is_some() {
        student.get_or_insert_default().init = args.init;
    }
    let mut options = DistillOptions {
        limit: number(args.limit),
        test: args.test,
        test_limit: number(args.test_limit),
        student,
        distillation: DistillationConfig {
            temperature: args.temperature,
            alpha: args.alpha,
            ..DistillationConfig::default()
        },
        epochs: u64::from(args.epochs),
        batch_size: number(args.optimizer.batch_size),
        warmup_epochs: args.optimizer.warmup_epochs,
        seed: args.seed as u64,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: args.machine.device.parse()?,
        overwrite: args.out.overwrite,
        resume: args.out.resume,
        ..DistillOptions::new(args.teacher, args.data, args.out.out)
    };
    args.optimizer.apply(&mut options.optimizer)?;
    let report = distill(&options, &mut Bar::new(bars, interrupt::on_signal()?))?;
    print(json, &report, distill_words(&report))?;
    Ok(ended(report.finished, report.steps, "distill"))
}

fn distill_words(report: &DistillReport) -> String {
    let DistillReport { student, train_images, epochs, seconds, train_loss, out, .. } = report;
    let mut words = format!(
        "{student}: {epochs} epochs on {train_images} images in {seconds:.0} s, loss of the last epoch {train_loss:.4}"
    );
    if let (Some(teacher), Some(top1)) = (report.teacher_top1, report.distill_top1) {
        words += &format!("\naccuracy: teacher {teacher:.2} %, student {top1:.2} %");
    }
    if report.finished {
        words += &format!("\nclassifier: {}", out.join("classifier.safetensors").display());
    }
    words
}

/// Tells how to go on with a training that was stopped.
fn ended(finished: bool, steps: u64, command: &str) -> Ended {
    if finished {
        return Ended::Done;
    }
    eprintln!(
        "stopped and saved after step {steps}; go on with the same options and --resume: burn-ssl {command} ... --resume"
    );
    Ended::Interrupted
}

pub(super) fn run_embed(args: EmbedArgs, json: bool) -> Result<()> {
    let number = |value: Option<u32>| value.map(|value| value as usize);
    let encoder = args.encoder.source(args.seed as u64)?;
    let options = EmbedOptions {
        limit: number(args.limit),
        image_size: number(args.image_size),
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: args.machine.device.parse()?,
        ..EmbedOptions::new(encoder, args.data, args.out)
    };
    let report = embed_images(&options)?;
    let mut words =
        format!("{} images, {} features each: {}", report.images, report.dim, report.out.display());
    if let Some(names) = &report.names {
        words += &format!("\nnames and labels: {}", names.display());
    }
    print(json, &report, words)
}
