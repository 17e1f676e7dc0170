//! The linear probe: how well a linear classifier does on the features of a frozen encoder.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use ssl_core::loss::cross_entropy;
use ssl_core::nn::Linear;
use ssl_core::{DeviceSpec, Encoder, Init};
use ssl_data::DataError;
use ssl_eval::{Accuracy, EvalError, Features, embed, embed_batch, linear_head};
use ssl_train::{Descended, Descent, OptimizerConfig, ScheduleConfig, StepReport};
use tracing::info;

use crate::images::{self, EvalData, eval_loader};
use crate::sets::OpenedSets;
use crate::{EncoderSource, Error, Observer, Recipe, SetOptions};

/// Which encoder is probed, on what and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearOptions {
    /// The encoder, frozen and in evaluation mode.
    pub encoder: EncoderSource,
    /// Labelled images to train and to test the classifier with.
    pub sets: SetOptions,
    /// Whether the features of the training images are computed once, of their centre, and not anew in every epoch, of a
    /// random crop and flip (the official protocol). Much faster. Default no.
    pub cached: bool,
    /// Passes over the training images. Default 100 (MoCo, DINO; SimCLR has 90). On small sets our choice, since the
    /// papers' are for ImageNet.
    pub epochs: u64,
    /// Images in a batch, at least 2. Default: 256, or all if there are fewer.
    pub batch_size: Option<usize>,
    /// The optimizer; its rate falls along a cosine to 0. Default: SGD of momentum 0.9 without weight decay, rate
    /// `0.1 · batch / 256` (SimCLR, appendix B.6). MoCo's rate is 30.
    pub optimizer: OptimizerConfig,
    /// Seed of the classifier, of the order of the images and of their views. Default 0.
    pub seed: u64,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl LinearOptions {
    /// A probe of an encoder on the sets of its run.
    pub fn new(encoder: EncoderSource) -> Self {
        let optimizer = OptimizerConfig { lr: 0.1, lr_scale_batch: 256, ..OptimizerConfig::default() };
        Self {
            encoder,
            sets: SetOptions::default(),
            cached: false,
            epochs: 100,
            batch_size: None,
            optimizer,
            seed: 0,
            device: DeviceSpec::Flex,
        }
    }
}

/// The result of a linear probe. Accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinearReport {
    /// Test images whose class had the highest score.
    pub linear_top1: f64,
    /// Test images whose class was among the five highest.
    pub linear_top5: f64,
    /// Mean cross entropy of the last epoch, in nats.
    pub train_loss: f64,
    /// Passes over the training images.
    pub epochs: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Learning rate at the start.
    pub lr: f64,
    /// Whether the features were computed once.
    pub cached: bool,
    /// Classes.
    pub classes: usize,
    /// Training images.
    pub train_images: usize,
    /// Test images.
    pub images: usize,
    /// Seconds of training, the computation of features included.
    pub seconds: f64,
}

/// Trains a linear classifier on the features of an encoder that does not change, and tests it.
///
/// Features are used as they are: nothing normalises or standardises them.
///
/// # Errors
/// What the encoder, the sets, the device or the optimizer have wrong.
///
/// # Source
/// SimCLR, appendix B.6, <https://arxiv.org/abs/2002.05709>: random crop and flip for training, the centre for testing, no
/// regularisation.
pub fn linear_probe(options: &LinearOptions, observer: &mut impl Observer) -> Result<LinearReport, Error> {
    let device = options.device.open()?;
    let OpenedSets { recipe, data: sets, .. } = options.sets.open(&options.encoder, "training")?;
    let classes = sets.classes()?;
    let batch_size = images::batch_size(options.batch_size, sets.bank.len())?;
    let encoder = options.encoder.open(&recipe, &device)?;
    info!("training: {}", sets.bank);
    info!("test: {}", sets.test);

    let probe = Probe { options, recipe: &recipe, sets: &sets, device: &device, classes, batch_size };
    let start = Instant::now();
    let trained = probe.train(&encoder, observer)?;
    let seconds = start.elapsed().as_secs_f64();
    let Accuracy { top1, top5 } = probe.test(&encoder, &trained.module.valid())?;
    Ok(LinearReport {
        linear_top1: 100.0 * top1,
        linear_top5: 100.0 * top5,
        train_loss: trained.loss,
        epochs: options.epochs,
        steps: trained.steps,
        batch_size,
        lr: options.optimizer.peak_lr(batch_size),
        cached: options.cached,
        classes,
        train_images: sets.bank.len(),
        images: sets.test.len(),
        seconds,
    })
}

/// A probe whose images and batches are known.
struct Probe<'a> {
    options: &'a LinearOptions,
    recipe: &'a Recipe,
    sets: &'a EvalData,
    device: &'a Device,
    classes: usize,
    batch_size: usize,
}

impl Probe<'_> {
    fn train<E: Encoder>(
        &self,
        encoder: &E,
        observer: &mut impl Observer,
    ) -> Result<Descended<Linear>, Error> {
        let dim = encoder.feature_dim();
        if !self.options.cached {
            let loader =
                images::train_loader(&self.sets.bank, self.recipe, self.batch_size, self.options.seed)?;
            let features = loader.batches(0, 0)?.map(|batch| Ok(embed_batch(encoder, batch?, self.device)));
            return self.descend(dim, loader.batches_per_epoch(), features, observer);
        }
        let features = embed(encoder, &eval_loader(&self.sets.bank, self.recipe)?, self.device)?;
        let [images, _] = features.values.dims();
        if self.batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size: self.batch_size, images }.into());
        }
        let batches = features.batches(self.batch_size, self.options.seed).map(Ok);
        self.descend(dim, images / self.batch_size, batches, observer)
    }

    /// Trains a classifier on batches of features.
    fn descend(
        &self,
        feature_dim: usize,
        batches_per_epoch: usize,
        features: impl Iterator<Item = Result<Features, Error>>,
        observer: &mut impl Observer,
    ) -> Result<Descended<Linear>, Error> {
        let LinearOptions { epochs, optimizer, seed, .. } = self.options;
        let batch_size = self.batch_size;
        let schedule = ScheduleConfig { epochs: *epochs, batch_size, ..ScheduleConfig::default() };
        let steps_per_epoch = batches_per_epoch as u64;
        let descent = Descent { optimizer, schedule: &schedule, steps_per_epoch };
        let mut init = Init::new(*seed, &self.device.clone().autodiff());
        let head = linear_head(feature_dim, self.classes, &mut init);
        observer.on_start(descent.start());
        let loss = |head: &Linear, batch: Features| {
            let labels = batch.label_tensor();
            cross_entropy(head.forward(batch.values), labels)
        };
        descent.run(head, features, loss, |report: &StepReport| observer.on_step(report))
    }

    fn test<E: Encoder>(&self, encoder: &E, head: &Linear) -> Result<Accuracy, Error> {
        let test = embed(encoder, &eval_loader(&self.sets.test, self.recipe)?, self.device)?;
        let labels = test.labels.ok_or(EvalError::NoLabels("test"))?;
        Ok(Accuracy::of_scores(head.forward(test.values), &labels))
    }
}
