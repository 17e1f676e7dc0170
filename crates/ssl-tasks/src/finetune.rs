//! Fine-tuning: training the whole network on all or some of the labels.

mod protocol;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec, Group, Init, Mlp, SslMethod};
use ssl_data::Dataset;
use ssl_encoders::{AnyEncoder, EncoderConfig};
use ssl_eval::{Classifier, FineTuning, MixingConfig, fraction};
use ssl_train::{IntactCheckpoint, OptimizerConfig, ScheduleConfig, TrainError, newest_intact_checkpoint};
use toml::Value;
use tracing::warn;

pub use self::protocol::FinetuneProtocol;
use crate::classifier::{self, ClassifierRun, Record, absolute};
use crate::encoder::FoundEncoder;
use crate::images::{self, EvalData};
use crate::memory::{self, Training};
use crate::methods::{Methods, WithMethod};
use crate::overlap::warn_of_overlap;
use crate::preparation::{EVAL_BATCH, worker_threads};
use crate::provenance::data_summary;
use crate::sets::OpenedSets;
use crate::{EncoderSource, EncoderSummary, Error, Observer, Recipe, SetOptions};

/// Names of the accuracies in the metrics file.
const METRICS: [&str; 2] = ["finetune_top1", "finetune_top5"];

/// Options of [`finetune`].
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneOptions {
    /// The encoder to start from.
    pub encoder: EncoderSource,
    /// Labelled images to train and to test with.
    pub sets: SetOptions,
    /// Fraction of the training images of each class to use, above 0 and at most 1; see [`fraction`]. Default 1.
    pub fraction: f64,
    /// Number of layers of the projector to keep between encoder and classifier; above 0, the encoder must come from a run.
    /// Default: as the authors of the method do, 1 after `simclr-v2` and 0 otherwise.
    pub from_head_layer: Option<usize>,
    /// Mixtures of training images, and label smoothing. Default: none.
    pub mixing: MixingConfig,
    /// Probability that the last block of a ViT drops a branch in training. Default: that of the encoder's recipe.
    pub drop_path: Option<f64>,
    /// Passes over the images used. Default: 60 for up to 1 % of them, else 30 (SimCLR, appendix B.5).
    pub epochs: Option<u64>,
    /// Images in a batch, at least 2. Default: 256, or all if there are fewer.
    pub batch_size: Option<usize>,
    /// Warm-up epochs, in which the learning rate rises. Default 0 (SimCLR, appendix B.5).
    pub warmup_epochs: f64,
    /// The optimizer; its learning rate follows a cosine down to 0. Default: SGD with Nesterov momentum 0.9 without weight
    /// decay, rate `0.05 · batch / 256` (SimCLR, appendix B.5). SimCLR v2 has LARS with rate 0.16 for a batch of 1024 (section
    /// 3.1), and a ViT is usually fine-tuned as MAE does: see [`FinetuneProtocol`].
    pub optimizer: OptimizerConfig,
    /// Seed of the fraction, of the classifier, of the order of the images and of their views. Default 0.
    pub seed: u64,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// The processes that train together; the first one writes the directory, which all have to see. Default: this one alone.
    pub group: Group,
    /// The directory of the classifier.
    pub out: PathBuf,
    /// Whether an earlier run in that directory may be removed. Default: no.
    pub overwrite: bool,
    /// Whether to resume training in that directory, with the same options. Default: no.
    pub resume: bool,
    /// Whether training continues if the images have changed since it began. Default: no.
    pub accept_changed_data: bool,
}

impl FinetuneOptions {
    /// Fine-tuning of an encoder on all labels of the sets of its run, as SimCLR has it.
    pub fn new(encoder: EncoderSource, out: impl Into<PathBuf>) -> Self {
        Self::of(FinetuneProtocol::default(), encoder, out)
    }

    /// Fine-tuning of an encoder on all labels of the sets of its run, as a paper has it.
    pub fn of(protocol: FinetuneProtocol, encoder: EncoderSource, out: impl Into<PathBuf>) -> Self {
        Self {
            encoder,
            sets: SetOptions::default(),
            fraction: 1.0,
            from_head_layer: None,
            mixing: protocol.mixing(),
            drop_path: protocol.drop_path(),
            epochs: protocol.epochs(),
            batch_size: None,
            warmup_epochs: protocol.warmup_epochs(),
            optimizer: protocol.optimizer(),
            seed: 0,
            device: DeviceSpec::Flex,
            group: Group::default(),
            out: out.into(),
            overwrite: false,
            resume: false,
            accept_changed_data: false,
        }
    }

    fn schedule(&self, images: usize) -> Result<ScheduleConfig, Error> {
        Ok(ScheduleConfig {
            epochs: self.epochs.unwrap_or(if self.fraction <= 0.01 { 60 } else { 30 }),
            batch_size: images::batch_size(self.batch_size, images)?,
            warmup_epochs: self.warmup_epochs,
            ..ScheduleConfig::default()
        })
    }
}

/// The result of fine-tuning. Accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinetuneReport {
    /// Test images whose class had the highest score; `None` if the run was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune_top1: Option<f64>,
    /// Test images whose class was among the five highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune_top5: Option<f64>,
    /// Fraction of the training images of each class that was used.
    pub fraction: f64,
    /// Layers of the projector that were kept.
    pub head_layers: usize,
    /// Mean cross entropy of the last epoch, in nats.
    pub train_loss: f64,
    /// Passes over the training images.
    pub epochs: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Classes.
    pub classes: usize,
    /// Training images used.
    pub train_images: usize,
    /// Test images.
    pub images: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// The encoder that it started from.
    pub encoder: EncoderSummary,
    /// The directory of the classifier.
    pub out: PathBuf,
    /// Whether training reached its last step; false if it was stopped.
    #[serde(skip)]
    pub finished: bool,
}

/// Trains an encoder together with a new classifier on top, and tests it. The output directory has `classifier.safetensors`,
/// `encoder.safetensors`, `classifier.toml`, `metrics.jsonl` and `checkpoints/`.
///
/// # Errors
/// If the encoder, the sets, the device, the directory or the optimizer cannot be used.
///
/// # Source
/// SimCLR, appendix B.5, <https://arxiv.org/abs/2002.05709>; SimCLR v2, section 2, <https://arxiv.org/abs/2006.10029>.
pub fn finetune(
    methods: &impl Methods,
    options: &FinetuneOptions,
    observer: &mut dyn Observer,
) -> Result<FinetuneReport, Error> {
    let share = options.fraction;
    ConfigError::check(share > 0.0 && share <= 1.0, "fraction", share, "a number above 0 and at most 1")?;
    options.mixing.validate()?;
    options.encoder.check_apart_from(&options.out)?;
    let device = options.device.open()?;
    let found = options.encoder.find(methods)?;
    let mut opened = options.sets.open(&options.encoder, found.artifact.as_ref(), "training")?;
    opened.data = EvalData { bank: Arc::new(part(opened.data.bank, options)?), ..opened.data };
    let OpenedSets { preparation, data: sets, train_path, .. } = &opened;
    let schedule = options.schedule(sets.bank.len())?;
    let (config, network) =
        network(methods, options, &found, &opened, schedule.batch_size, &device.clone().autodiff())?;
    options.optimizer.check_module(&network)?;

    let head_layers = network.neck.as_ref().map_or(0, |neck| neck.layers().len());
    let loader = preparation.train_loader(&sets.bank, schedule.batch_size, options.seed)?;
    let loader = loader.with_share(options.group.rank(), options.group.size())?;
    let record = record(options, &found, &opened, config, schedule.clone(), head_layers);
    let run = ClassifierRun {
        out: &options.out,
        overwrite: options.overwrite,
        resume: options.resume,
        accept_changed_data: options.accept_changed_data,
        device: &device,
        group: &options.group,
        encoder: record.artifact(preparation.preprocessing, data_summary(train_path, &sets.bank)),
        head: classifier::head(&network, sets.bank.class_names().map(<[_]>::to_vec)),
        record,
        test: Some(preparation.eval_loader(&sets.test)?),
        metrics: METRICS,
        starts_from: format!("encoder: {}", found.summary),
    };
    let tested = run.train(&FineTuning { mixing: options.mixing }, network, &loader, observer)?;
    if tested.accuracy.is_some() {
        warn_of_overlap(&sets.bank, &sets.test);
    }
    Ok(FinetuneReport {
        finetune_top1: tested.accuracy.map(|[top1, _]| top1),
        finetune_top5: tested.accuracy.map(|[_, top5]| top5),
        fraction: options.fraction,
        head_layers,
        train_loss: tested.summary.train_loss,
        epochs: tested.summary.epochs,
        steps: tested.summary.steps,
        batch_size: schedule.batch_size,
        classes: run.head.classes,
        train_images: sets.bank.len(),
        images: sets.test.len(),
        seconds: tested.summary.seconds,
        encoder: found.summary,
        out: options.out.clone(),
        finished: tested.summary.finished,
    })
}

/// The part of the training images that is used.
fn part(set: Arc<Dataset>, options: &FinetuneOptions) -> Result<Dataset, Error> {
    let labels = set.labels().unwrap_or_default().to_vec();
    // Checked on the whole set: a class without images is a fault of the set, not of the fraction.
    images::classes_of(&set)?;
    let set = Arc::into_inner(set).expect("nobody else has it yet");
    Ok(set.subset(&fraction(&labels, options.fraction, options.seed)))
}

/// The encoder's configuration, and the encoder with a new head on the autodiff device, if there is memory to train it.
fn network(
    methods: &impl Methods,
    options: &FinetuneOptions,
    found: &FoundEncoder,
    opened: &OpenedSets,
    batch_size: usize,
    device: &Device,
) -> Result<(EncoderConfig, Classifier<AnyEncoder>), Error> {
    // Split batch norm keeps a contrastive loss from cheating; here it would only restrict the batch size.
    let found_config = found.config().clone();
    let drop_path = options.drop_path.or(found_config.drop_path);
    let config = EncoderConfig { bn_splits: 1, drop_path, ..found_config };
    let (classes, size) = (opened.data.classes()?, opened.preparation.preprocessing.size);
    let neck = neck(methods, options, device)?;
    check_memory(options, opened, &config, neck.as_ref(), batch_size)?;
    let encoder = found.open_as(config.clone(), size, device)?;
    let network = Classifier::new(encoder, neck, classes, &mut Init::new(options.seed, device));
    Ok((config, network))
}

/// Checks that there is memory for the training.
fn check_memory(
    options: &FinetuneOptions,
    opened: &OpenedSets,
    encoder: &EncoderConfig,
    neck: Option<&Mlp>,
    batch_size: usize,
) -> Result<(), Error> {
    let OpenedSets { preparation, data: sets, .. } = opened;
    let training = Training {
        encoder,
        neck: neck.map(Mlp::layers).unwrap_or_default(),
        classes: sets.classes()?,
        size: preparation.preprocessing.size,
        batch: batch_size.div_ceil(options.group.size()),
        algorithm: &options.optimizer.algorithm,
        images: &sets.bank,
        workers: worker_threads(preparation.workers),
        evaluated: sets.test.len().min(EVAL_BATCH),
        teacher: None,
    };
    memory::check_classifier(&training, &options.device, &options.group)
}

/// The first layers of the projector of a run, from its last checkpoint.
fn neck(methods: &impl Methods, options: &FinetuneOptions, device: &Device) -> Result<Option<Mlp>, Error> {
    let asked = options.from_head_layer;
    let (Some(run), Some(recipe)) = (options.encoder.run_dir()?, options.encoder.run_recipe()?) else {
        return match asked {
            None | Some(0) => Ok(None),
            Some(_) => Err(Error::NoProjector("an encoder that comes from no run".into())),
        };
    };
    // The encoder of a custom method can be fine-tuned even though this program does not know its projector.
    let known = methods.contains(&recipe.method);
    if asked == Some(0) || (asked.is_none() && !known) {
        return Ok(None);
    }
    // The recipe in the directory may have been edited since.
    let checkpoint = newest_intact_checkpoint(&run).and_then(|found| {
        found.ok_or_else(|| TrainError::NoCheckpoint(run.checkpoints())) // which matters if layers are kept
    });
    let there = checkpoint.as_ref().ok();
    let written = there.map(|checkpoint| Recipe::of_checkpoint(checkpoint, &recipe)).transpose()?;
    let recipe = written.flatten().unwrap_or(recipe);
    let visitor = KeptLayers { asked, checkpoint, recipe: &recipe, device };
    methods.with(&recipe.method, &recipe.method_options, visitor)?
}

/// Reads the layers of a run's projector that are kept.
struct KeptLayers<'a> {
    asked: Option<usize>,
    checkpoint: Result<IntactCheckpoint, TrainError>,
    recipe: &'a Recipe,
    device: &'a Device,
}

impl WithMethod<AnyEncoder> for KeptLayers<'_> {
    type Output = Result<Option<Mlp>, Error>;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        let Recipe { encoder, data, .. } = self.recipe;
        let config = EncoderConfig { init: None, ..encoder.clone() };
        let mut init = Init::new(0, self.device);
        let (student, _) = method.init(config.init(data.image_size, &mut init)?, &mut init);
        let Some(projector) = method.projector(&student) else {
            return match self.asked {
                None | Some(0) => Ok(None),
                Some(_) => Err(Error::NoProjector(format!("a run of {}", self.recipe.method))),
            };
        };
        let (layers, most) = (self.asked.unwrap_or(method.kept_layers()), projector.layers().len());
        if layers > most {
            return Err(Error::HeadLayers { layers, most });
        }
        if layers == 0 {
            return Ok(None);
        }
        let checkpoint = self.checkpoint?;
        let (folder, step) = (checkpoint.folder().display(), checkpoint.step());
        for damaged in checkpoint.damaged() {
            warn!("{damaged}; the layers of the projector are those of {folder}, of step {step}");
        }
        let student = checkpoint.student(student)?;
        Ok(method.projector(&student).map(|projector| projector.clone().first(layers)))
    }
}

fn record(
    options: &FinetuneOptions,
    found: &FoundEncoder,
    sets: &OpenedSets,
    encoder: EncoderConfig,
    schedule: ScheduleConfig,
    head_layers: usize,
) -> Record {
    let MixingConfig { label_smoothing, mixup, cutmix } = options.mixing;
    let mixing = [("label_smoothing", label_smoothing), ("mixup", mixup), ("cutmix", cutmix)];
    // A classifier without mixtures has the record, and so the hash, that it had before there were any.
    let mixing = mixing.into_iter().filter(|(_, value)| *value > 0.0);
    let own = [
        ("fraction", Value::Float(options.fraction)),
        ("from_head_layer", Value::Integer(head_layers as i64)),
    ];
    let own = own.into_iter().chain(mixing.map(|(key, value)| (key, Value::Float(value))));
    Record {
        made_by: "finetune",
        from: found.recorded(&options.encoder),
        train: absolute(&sets.train_path),
        train_images: sets.data.bank.len(),
        test: Some(absolute(&sets.test_path)),
        image_size: sets.preparation.preprocessing.size,
        seed: options.seed,
        options: own.map(|(key, value)| (key.to_owned(), value)).collect(),
        encoder: EncoderConfig { init: None, ..encoder },
        optimizer: options.optimizer.clone(),
        schedule,
    }
}
