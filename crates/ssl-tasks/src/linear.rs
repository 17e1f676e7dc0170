//! The linear probe: a linear classifier on the features of a frozen encoder.

mod protocol;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;
use ssl_core::loss::cross_entropy;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Group, Init, Pass};
use ssl_data::DataError;
use ssl_eval::{
    Accuracy, Embedder, EvalError, Features, Probe, ProbeHead, ProbeInput, embed_batch, embed_with,
};
use ssl_train::{Descended, Descent, OptimizerConfig, ScheduleConfig, StepReport};
use tracing::info;

pub use self::protocol::Protocol;
use crate::images::{self, EvalData};
use crate::overlap::warn_of_overlap;
use crate::preparation::Preparation;
use crate::sets::OpenedSets;
use crate::{EncoderSource, EncoderSummary, Error, Methods, Observer, SetOptions};

/// Options of [`linear_probe`].
#[derive(Clone, Debug, PartialEq)]
pub struct LinearOptions {
    /// The encoder, frozen and in evaluation mode.
    pub encoder: EncoderSource,
    /// Labelled images to train and to test the classifier with.
    pub sets: SetOptions,
    /// Whether the features of the training images are computed once, from the centre crop, instead of in every epoch, from a
    /// random crop and flip (the official protocol). Much faster. Default: no.
    pub cached: bool,
    /// What the classifier sees of the encoder. Default: its features.
    pub input: ProbeInput,
    /// The kind of classifier. Default: a linear layer.
    pub head: ProbeHead,
    /// Passes over the training images. Default 100 (MoCo, DINO; SimCLR has 90); for small sets our choice, since the
    /// papers' numbers are for ImageNet.
    pub epochs: u64,
    /// Warm-up epochs, in which the learning rate rises. Default 0.
    pub warmup_epochs: f64,
    /// Images in a batch, at least 2. Default: 256, or all if there are fewer.
    pub batch_size: Option<usize>,
    /// The optimizer; its learning rate follows a cosine down to 0. Default: SGD of momentum 0.9 without weight decay, rate
    /// `0.1 · batch / 256` (SimCLR, appendix B.6). MoCo's rate is 30.
    pub optimizer: OptimizerConfig,
    /// Seed of the classifier, of the order of the images and of their views. Default 0.
    pub seed: u64,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// The processes that share the images; each then trains the same classifier. Default: this one alone.
    pub group: Group,
}

impl LinearOptions {
    /// A probe of an encoder on the sets of its run, as SimCLR has it.
    pub fn new(encoder: EncoderSource) -> Self {
        Self::of(Protocol::default(), encoder)
    }

    /// A probe of an encoder on the sets of its run, as a paper has it.
    pub fn of(protocol: Protocol, encoder: EncoderSource) -> Self {
        Self {
            encoder,
            sets: SetOptions::default(),
            cached: false,
            input: protocol.input(),
            head: protocol.head(),
            epochs: protocol.epochs(),
            warmup_epochs: protocol.warmup_epochs(),
            batch_size: None,
            optimizer: protocol.optimizer(),
            seed: 0,
            device: DeviceSpec::Flex,
            group: Group::default(),
        }
    }

    fn schedule(&self, batch_size: usize) -> ScheduleConfig {
        let Self { epochs, warmup_epochs, .. } = *self;
        ScheduleConfig { epochs, batch_size, warmup_epochs, ..ScheduleConfig::default() }
    }

    /// Attention needs patches, and other classifiers cannot take them apart.
    fn check_input(&self) -> Result<(), ConfigError> {
        let (patches, attentive) = (self.input == ProbeInput::Patches, self.head == ProbeHead::Attentive);
        let expected = if attentive {
            "attentive on patches, linear or batch-norm on features and blocks"
        } else {
            "attentive, which patches need"
        };
        ConfigError::check(patches == attentive, "head", self.head, expected)
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
    /// The kind of classifier.
    pub head: String,
    /// Values that the classifier sees of an image; with attention, of each patch.
    pub dim: usize,
    /// Classes.
    pub classes: usize,
    /// Training images.
    pub train_images: usize,
    /// Test images.
    pub images: usize,
    /// Seconds of training, the computation of features included.
    pub seconds: f64,
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Trains a linear classifier on the features of a frozen encoder, and tests it.
///
/// Features are neither normalised nor standardised, unless [`head`](LinearOptions::head) does.
///
/// # Errors
/// If the encoder, the sets, the device or the optimizer cannot be used.
///
/// # Source
/// SimCLR, appendix B.6, <https://arxiv.org/abs/2002.05709>: random crop and flip for training, the centre for testing, no
/// regularisation.
pub fn linear_probe(
    methods: &impl Methods,
    options: &LinearOptions,
    observer: &mut dyn Observer,
) -> Result<LinearReport, Error> {
    options.check_input()?;
    let device = options.device.open()?;
    let found = options.encoder.find(methods)?;
    let opened = options.sets.open(&options.encoder, found.artifact.as_ref(), "training")?;
    let OpenedSets { preparation, data: sets, .. } = opened;
    let classes = sets.classes()?;
    let batch_size = images::batch_size(options.batch_size, sets.bank.len())?;
    options.optimizer.validate()?;
    options.schedule(batch_size).validate()?;
    let encoder = found.open(preparation.preprocessing.size, &device)?;
    let dim = options.input.dim(&encoder)?;
    info!("encoder: {}", found.summary);
    info!("training: {}", sets.bank);
    info!("test: {}", sets.test);

    let probing = Probing { options, preparation, sets: &sets, device: &device, classes, batch_size, dim };
    let start = Instant::now();
    let trained = probing.train(&encoder, observer)?;
    let seconds = start.elapsed().as_secs_f64();
    let Accuracy { top1, top5 } = probing.test(&encoder, &trained.module.valid())?;
    warn_of_overlap(&sets.bank, &sets.test);
    Ok(LinearReport {
        linear_top1: 100.0 * top1,
        linear_top5: 100.0 * top5,
        train_loss: trained.loss,
        epochs: options.epochs,
        steps: trained.steps,
        batch_size,
        lr: options.optimizer.peak_lr(batch_size),
        cached: options.cached,
        head: options.head.to_string(),
        dim,
        classes,
        train_images: sets.bank.len(),
        images: sets.test.len(),
        seconds,
        encoder: found.summary,
    })
}

/// A probe whose images have been opened.
struct Probing<'a> {
    options: &'a LinearOptions,
    preparation: Preparation,
    sets: &'a EvalData,
    device: &'a Device,
    classes: usize,
    batch_size: usize,
    /// Values that the classifier sees of an image, or of a patch.
    dim: usize,
}

impl Probing<'_> {
    fn train<E: Encoder>(&self, encoder: &E, observer: &mut dyn Observer) -> Result<Descended<Probe>, Error> {
        let seen = |images: Tensor<4>| self.options.input.of(encoder, images);
        if !self.options.cached {
            let loader =
                self.preparation.train_loader(&self.sets.bank, self.batch_size, self.options.seed)?;
            let group = &self.options.group;
            let loader = loader.with_share(group.rank(), group.size())?;
            let features = loader
                .batches(0, 0)?
                .map(|batch| Ok::<_, Error>(embed_batch(batch?, self.device, seen).of_all(group)));
            return self.descend(loader.batches_per_epoch(), features, observer);
        }
        let features = embed_with(&self.preparation.eval_loader(&self.sets.bank)?, &self.at(), seen)?;
        let [images, _] = features.values.dims();
        if self.batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size: self.batch_size, images }.into());
        }
        let batches = features.batches(self.batch_size, self.options.seed).map(Ok);
        self.descend(images / self.batch_size, batches, observer)
    }

    /// Where images are embedded; each process then trains the same classifier.
    fn at(&self) -> Embedder {
        Embedder::on(self.device).in_group(&self.options.group)
    }

    /// Trains a classifier on batches of features.
    fn descend(
        &self,
        batches_per_epoch: usize,
        features: impl Iterator<Item = Result<Features, Error>>,
        observer: &mut dyn Observer,
    ) -> Result<Descended<Probe>, Error> {
        let LinearOptions { optimizer, seed, head, .. } = self.options;
        let schedule = self.options.schedule(self.batch_size);
        let steps_per_epoch = batches_per_epoch as u64;
        let descent = Descent { optimizer, schedule: &schedule, steps_per_epoch };
        let mut init = Init::new(*seed, &self.device.clone().autodiff());
        let probe = head.init(self.dim, self.classes, &mut init);
        observer.on_start(descent.start());
        let loss = |probe: &Probe, batch: Features| {
            let labels = batch.label_tensor();
            cross_entropy(probe.forward(batch.values, &Pass::train()), labels)
        };
        descent.run(probe, features, loss, |report: &StepReport| observer.on_step(report))
    }

    fn test<E: Encoder>(&self, encoder: &E, probe: &Probe) -> Result<Accuracy, Error> {
        let scores = |images| probe.forward(self.options.input.of(encoder, images), &Pass::eval());
        let test = embed_with(&self.preparation.eval_loader(&self.sets.test)?, &self.at(), scores)?;
        let labels = test.labels.ok_or(EvalError::NoLabels("test"))?;
        Ok(Accuracy::of_scores(test.values, &labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObserver;
    use crate::methods::testing::AnyName;
    use burn::tensor::Tensor;
    use ssl_core::{Pass, named};
    use ssl_data::{Dataset, Image};
    use ssl_encoders::{EncoderConfig, Preprocessing};
    use std::path::PathBuf;
    use std::sync::Arc;

    /// Features are the mean of each channel.
    #[derive(Module, Debug)]
    struct MeanColour {}

    impl Encoder for MeanColour {
        fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            images.mean_dim(3).mean_dim(2).flatten(1, 3)
        }

        fn feature_dim(&self) -> usize {
            3
        }
    }

    /// Images of three classes: mostly red, mostly green, mostly blue.
    fn coloured(images: usize) -> Dataset {
        let image = |index: usize| {
            let colour = (0..3).map(|channel| if channel == index % 3 { 200 } else { 40 + index as u8 % 7 });
            Image::new(8, 8, colour.cycle().take(192).collect())
        };
        let labels = (0..images).map(|index| index as i64 % 3).collect();
        Dataset::from_images((0..images).map(image).collect(), Some(labels))
    }

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    /// Trains and tests a probe of `encoder`: its classifier's tensors, its loss and its accuracy.
    fn probed<E: Encoder>(encoder: &E, cached: bool, workers: usize) -> (Vec<u8>, f64, Accuracy) {
        let sets = EvalData::named("training", Arc::new(coloured(24)), coloured(9)).expect("labels");
        let untrained = EncoderSource::Untrained { config: EncoderConfig::default(), seed: 0 };
        let mut options = LinearOptions { cached, epochs: 20, seed: 5, ..LinearOptions::new(untrained) };
        options.optimizer.lr = 30.0;
        let preparation = Preparation { preprocessing: Preprocessing::new(8), workers };
        let (device, classes) = (device(), sets.classes().expect("three"));
        let (options, sets, device) = (&options, &sets, &device);
        let probing = Probing {
            options,
            preparation,
            sets,
            device,
            classes,
            batch_size: 8,
            dim: encoder.feature_dim(),
        };
        let trained = probing.train(encoder, &mut NoObserver).expect("usable");
        assert_eq!(trained.steps, 60);
        let accuracy = probing.test(encoder, &trained.module.valid()).expect("usable");
        (named::encode(&named::collect(&trained.module), ""), trained.loss, accuracy)
    }

    #[test]
    fn linearly_separable_features_are_told_apart() {
        for cached in [true, false] {
            let (_, loss, accuracy) = probed(&MeanColour {}, cached, 2);
            assert!(loss < 0.05, "cached {cached}: {loss}");
            assert_eq!((accuracy.top1, accuracy.top5), (1.0, 1.0), "cached {cached}");
        }
    }

    #[test]
    fn the_encoder_is_bit_equal_after_the_probe() {
        let config = EncoderConfig { width: 4, ..EncoderConfig::default() };
        let encoder = config.init(8, &mut Init::new(0, &device())).expect("usable");
        let before = named::collect(&encoder);
        assert!(before.contains_key("bn1.running_mean"), "statistics are what could move");
        for cached in [true, false] {
            probed(&encoder, cached, 2);
            assert_eq!(named::collect(&encoder), before, "cached {cached}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_whatever_the_workers() {
        for cached in [true, false] {
            let bytes = |workers| probed(&MeanColour {}, cached, workers).0;
            assert_eq!(bytes(1), bytes(2), "cached {cached}");
        }
    }

    /// A ViT of two blocks on the demonstration's images, probed.
    fn on_vit(change: impl FnOnce(&mut LinearOptions)) -> Result<LinearReport, Error> {
        let mut config = EncoderConfig::named("vit-tiny");
        (config.patch_size, config.embed_dim, config.depth, config.heads) =
            (Some(8), Some(16), Some(2), Some(2));
        let mut options = LinearOptions::new(EncoderSource::Untrained { config, seed: 0 });
        options.sets.train = Some(PathBuf::from("demo:train"));
        options.sets.test = Some(PathBuf::from("demo:test"));
        (options.sets.train_limit, options.sets.test_limit) = (Some(40), Some(20));
        options.sets.preprocessing.image_size = Some(32);
        (options.epochs, options.cached) = (2, true);
        change(&mut options);
        linear_probe(&AnyName, &options, &mut NoObserver)
    }

    #[test]
    fn every_protocol_sees_what_its_paper_says() {
        let dim = |protocol: Protocol, blocks: Option<usize>| {
            let report = on_vit(|options| {
                let of_paper = LinearOptions::of(protocol, options.encoder.clone());
                (options.input, options.head, options.optimizer) =
                    (of_paper.input, of_paper.head, of_paper.optimizer);
                if let (ProbeInput::Blocks { count, .. }, Some(blocks)) = (&mut options.input, blocks) {
                    *count = blocks;
                }
            });
            report.expect("usable").dim
        };
        assert_eq!(dim(Protocol::SimClr, None), 16);
        assert_eq!(dim(Protocol::Mae, None), 16);
        assert_eq!(dim(Protocol::Dino, Some(2)), 32);
        assert_eq!(dim(Protocol::DinoV2, Some(2)), 48);
        assert_eq!(dim(Protocol::Attentive, None), 16);
    }

    #[test]
    fn what_an_encoder_does_not_have_is_named() {
        let error = |input, head| {
            on_vit(|options| (options.input, options.head) = (input, head)).expect_err("unusable").to_string()
        };
        let blocks = |count| ProbeInput::Blocks { count, patch_mean: false };
        assert!(error(blocks(3), ProbeHead::Linear).starts_with("blocks is 3"));
        assert!(error(ProbeInput::Patches, ProbeHead::Linear).starts_with("head is linear"));
        assert!(error(ProbeInput::Features, ProbeHead::Attentive).starts_with("head is attentive"));
        let of_resnet = on_vit(|options| {
            options.encoder = EncoderSource::Untrained { config: EncoderConfig::default(), seed: 0 };
            options.input = blocks(1);
        });
        assert!(of_resnet.expect_err("a ResNet").to_string().starts_with("blocks is 1"));
    }

    #[test]
    fn sets_that_no_probe_could_use_are_named() {
        let encoder = || EncoderSource::Untrained { config: EncoderConfig::default(), seed: 0 };
        let error = |change: fn(&mut LinearOptions)| {
            let mut options = LinearOptions::new(encoder());
            options.sets.train = Some(PathBuf::from("demo:train"));
            options.sets.test = Some(PathBuf::from("demo:test"));
            (options.sets.train_limit, options.sets.test_limit) = (Some(20), Some(10));
            change(&mut options);
            linear_probe(&AnyName, &options, &mut NoObserver).expect_err("unusable").to_string()
        };
        assert_eq!(
            error(|o| o.sets.train = None),
            "there is no train set to evaluate on: expected the path of one"
        );
        let class = error(|o| o.sets.train_limit = Some(7));
        assert!(class.starts_with("the training images have none of class triangles"), "{class}");
        let batch = error(|o| o.batch_size = Some(21));
        assert_eq!(batch, "a batch of 21 images is larger than the data set of 20 images");
        assert!(error(|o| o.epochs = 0).starts_with("schedule.epochs is 0"));
        assert!(error(|o| o.optimizer.lr = -1.0).starts_with("optimizer.lr is -1"));
    }
}
