//! The commands that train a classifier in a directory, and `embed`.

use anyhow::Result;
use burn_ssl::eval::{DistillationConfig, MixingConfig};
use burn_ssl::{DistillOptions, EmbedOptions, FinetuneOptions, RunReport, distill, embed_images, finetune};

use crate::args::{DistillArgs, EmbedArgs, FinetuneArgs, weights_file};
use crate::here::Here;
use crate::interrupt::Stop;
use crate::progress::Bar;

pub(super) fn run_finetune(args: FinetuneArgs, here: &Here, stop: &mut Stop) -> Result<RunReport> {
    let encoder = args.encoder.source(args.seed as u64)?;
    let of_paper = FinetuneOptions::of(args.protocol.parse()?, encoder, args.out.out);
    let of_mixing = of_paper.mixing;
    // As large a share of the epochs as in the paper.
    let shorter = args
        .epochs
        .zip(of_paper.epochs)
        .map_or(1.0, |(epochs, of_paper)| f64::from(epochs) / of_paper as f64);
    let warmup = of_paper.warmup_epochs * shorter;
    let mut options = FinetuneOptions {
        sets: args.sets.options(&args.machine),
        fraction: args.fraction,
        from_head_layer: args.from_head_layer.map(|layers| layers as usize),
        mixing: MixingConfig {
            label_smoothing: args.label_smoothing.unwrap_or(of_mixing.label_smoothing),
            mixup: args.mixup.unwrap_or(of_mixing.mixup),
            cutmix: args.cutmix.unwrap_or(of_mixing.cutmix),
        },
        drop_path: args.drop_path.or(of_paper.drop_path),
        epochs: args.epochs.map(u64::from).or(of_paper.epochs),
        batch_size: args.optimizer.batch_size.map(|size| size as usize),
        warmup_epochs: args.optimizer.warmup_epochs.unwrap_or(warmup),
        seed: args.seed as u64,
        device: here.device(&args.machine.device)?,
        group: here.group(),
        overwrite: args.out.overwrite,
        resume: args.out.resume,
        accept_changed_data: args.out.accept_changed_data,
        ..of_paper
    };
    args.optimizer.apply(&mut options.optimizer)?;
    here.listen(stop)?;
    Ok(finetune(&options, &mut Bar::new(&here.bars, stop.clone()))?.into())
}

pub(super) fn run_distill(args: DistillArgs, here: &Here, stop: &mut Stop) -> Result<RunReport> {
    let number = |value: Option<u32>| value.map(|value| value as usize);
    let mut student = args.model.config()?;
    if args.init.is_some() {
        student.get_or_insert_default().init = args.init.as_deref().map(weights_file).transpose()?;
    }
    let mut options = DistillOptions {
        limit: number(args.limit),
        max_image_bytes: args.images.max_image_bytes,
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
        device: here.device(&args.machine.device)?,
        group: here.group(),
        overwrite: args.out.overwrite,
        resume: args.out.resume,
        accept_changed_data: args.out.accept_changed_data,
        ..DistillOptions::new(args.teacher, args.data, args.out.out)
    };
    args.optimizer.apply(&mut options.optimizer)?;
    here.listen(stop)?;
    Ok(distill(&options, &mut Bar::new(&here.bars, stop.clone()))?.into())
}

pub(super) fn run_embed(args: EmbedArgs, here: &Here) -> Result<RunReport> {
    let EmbedArgs { encoded: args, out } = args;
    let encoder = args.encoder.source(args.seed as u64)?;
    let options = EmbedOptions {
        limit: args.limit.map(|limit| limit as usize),
        max_image_bytes: args.images.max_image_bytes,
        preprocessing: args.preprocessing.options(),
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: here.device(&args.machine.device)?,
        group: here.group(),
        ..EmbedOptions::new(encoder, args.data, out)
    };
    Ok(embed_images(&options)?.into())
}
