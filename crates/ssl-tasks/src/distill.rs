//! Distillation: a student learns the class scores of a fine-tuned teacher, on images that need no labels.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{DeviceSpec, Group, Init};
use ssl_data::{Dataset, EvalLoader};
use ssl_encoders::{AnyEncoder, ClassifierHead, EncoderConfig, EncoderFootprint, weights};
use ssl_eval::{Classifier, DistillationConfig, EvalError};
use ssl_train::{NoDecay, OptimizerConfig, ScheduleConfig, SgdConfig};
use toml::Value;

use crate::classifier::{self, ClassifierRun, Record, Teacher, Tested, absolute};
use crate::encoder::initial;
use crate::memory::{self, Training};
use crate::preparation::{EVAL_BATCH, Preparation, worker_threads};
use crate::provenance::data_summary;
use crate::recipe::TEACHER_HASH;
use crate::{Error, Observer, images};

/// Names of the accuracies in the metrics file.
const METRICS: [&str; 2] = ["distill_top1", "distill_top5"];

/// Share of the epochs spent on warm-up (SimCLR v2, section 3.1).
const WARMUP: f64 = 0.05;

/// Options of a distillation.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillOptions {
    /// The directory of the teacher, which [`finetune`](crate::finetune()) or an earlier distillation wrote.
    pub teacher: PathBuf,
    /// The images; labels are not needed unless `alpha` is below 1.
    pub data: PathBuf,
    /// Use only this many of them. Default: all.
    pub limit: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default:
    /// [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// Labelled images to test with. Default: the teacher's test set.
    pub test: Option<PathBuf>,
    /// Use only this many of them. Default: all.
    pub test_limit: Option<usize>,
    /// The student's encoder; [`init`](EncoderConfig::init) names weights to start from. Default: the teacher's architecture,
    /// with random weights (self-distillation).
    pub student: Option<EncoderConfig>,
    /// The loss.
    pub distillation: DistillationConfig,
    /// Passes over the images. Default 400 (SimCLR v2, section 3.1, on ImageNet).
    pub epochs: u64,
    /// Images in a batch, at least 2. Default: 256, or all if there are fewer.
    pub batch_size: Option<usize>,
    /// Warm-up epochs, in which the learning rate rises. Default: 5 % of them (SimCLR v2, section 3.1).
    pub warmup_epochs: Option<f64>,
    /// The optimizer; its learning rate follows a cosine down to 0. Default: SGD with Nesterov momentum 0.9, rate
    /// `0.1 · batch / 256` (our choice, usual in training with labels; the paper has LARS for batches of 4096), weight decay
    /// 1e-4 on weights (as in the paper).
    pub optimizer: OptimizerConfig,
    /// Seed of the student, of the order of the images and of their views. Default 0.
    pub seed: u64,
    /// Threads that decode and augment; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// The processes that train together; the first one writes the directory, which all have to see. Default: this one alone.
    pub group: Group,
    /// The directory of the student.
    pub out: PathBuf,
    /// Whether an earlier run in that directory may be removed. Default: no.
    pub overwrite: bool,
    /// Whether to resume training in that directory, with the same options. Default: no.
    pub resume: bool,
    /// Whether training continues if the images have changed since it began. Default: no.
    pub accept_changed_data: bool,
}

impl DistillOptions {
    /// Self-distillation of a teacher on images.
    pub fn new(teacher: impl Into<PathBuf>, data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let optimizer = OptimizerConfig::new(SgdConfig::default().with_nesterov(true))
            .with_lr(0.1)
            .with_lr_scale_batch(256)
            .with_weight_decay(1e-4)
            .with_no_decay(NoDecay::BiasAndNorm);
        Self {
            teacher: teacher.into(),
            data: data.into(),
            limit: None,
            max_image_bytes: None,
            test: None,
            test_limit: None,
            student: None,
            distillation: DistillationConfig::default(),
            epochs: 400,
            batch_size: None,
            warmup_epochs: None,
            optimizer,
            seed: 0,
            workers: 0,
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
            epochs: self.epochs,
            batch_size: images::batch_size(self.batch_size, images)?,
            warmup_epochs: self.warmup_epochs.unwrap_or(WARMUP * self.epochs as f64),
            ..ScheduleConfig::default()
        })
    }
}

/// The result of a distillation. Accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistillReport {
    /// Test images whose class had the student's highest score; `None` without a test set or if the run was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distill_top1: Option<f64>,
    /// Test images whose class was among the student's five highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distill_top5: Option<f64>,
    /// Test images whose class had the teacher's highest score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_top1: Option<f64>,
    /// The student's encoder.
    pub student: String,
    /// Temperature of the loss.
    pub temperature: f64,
    /// Weight of the distillation loss; the loss on labels has the rest.
    pub alpha: f64,
    /// Mean loss of the last epoch, in nats.
    pub train_loss: f64,
    /// Passes over the images.
    pub epochs: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Classes.
    pub classes: usize,
    /// Training images.
    pub train_images: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// The directory of the student.
    pub out: PathBuf,
    /// Whether training reached its last step; false if it was stopped.
    #[serde(skip)]
    pub finished: bool,
}

/// Trains a student to reproduce the class scores of a fine-tuned teacher, and tests both. The output directory has the same
/// files as that of [`finetune`](crate::finetune()).
///
/// # Errors
/// If the teacher, the images, the device, the directory or the options cannot be used.
///
/// # Source
/// SimCLR v2, section 2, <https://arxiv.org/abs/2006.10029>; see [`Distillation`](ssl_eval::Distillation) for the loss and how it differs.
pub fn distill(options: &DistillOptions, observer: &mut dyn Observer) -> Result<DistillReport, Error> {
    classifier::check_apart(&options.teacher, &options.out)?;
    images::check_bytes("max_image_bytes", options.max_image_bytes)?;
    let device = options.device.open()?;
    let Teacher { network: teacher, artifact, head } = Teacher::load(&options.teacher, &device)?;
    let preparation = Preparation { preprocessing: artifact.preprocessing, workers: options.workers };
    let teacher_hash = weights::fingerprint(&teacher);
    let distilling = Distilling {
        options,
        device: &device,
        preparation,
        teacher: &artifact.encoder,
        teacher_hash: &teacher_hash,
        head: &head,
    };
    let data = distilling.data()?;
    let (schedule, test) = (options.schedule(data.len())?, distilling.test()?);
    distilling.check_memory(&data, schedule.batch_size, test.as_ref().map(|(_, test)| test))?;
    let network = distilling.student()?;
    let run = distilling.run(&network, &schedule, &data, test);
    let teacher_top1 = run.accuracy(&teacher)?.map(|[top1, _]| top1);
    let method = options.distillation.build(teacher)?;
    let loader = preparation.train_loader(&data, schedule.batch_size, options.seed)?;
    let loader = loader.with_share(options.group.rank(), options.group.size())?;
    let Tested { accuracy, summary } = run.train(&method, network, &loader, observer)?;
    Ok(DistillReport {
        distill_top1: accuracy.map(|[top1, _]| top1),
        distill_top5: accuracy.map(|[_, top5]| top5),
        teacher_top1,
        classes: run.head.classes,
        student: run.record.encoder.name,
        temperature: options.distillation.temperature,
        alpha: options.distillation.alpha,
        train_loss: summary.train_loss,
        epochs: summary.epochs,
        steps: summary.steps,
        batch_size: schedule.batch_size,
        train_images: data.len(),
        seconds: summary.seconds,
        out: options.out.clone(),
        finished: summary.finished,
    })
}

/// A distillation whose teacher has been read.
struct Distilling<'a> {
    options: &'a DistillOptions,
    device: &'a Device,
    preparation: Preparation,
    /// The teacher's encoder.
    teacher: &'a EncoderConfig,
    /// The hash of the teacher's tensors.
    teacher_hash: &'a str,
    /// The teacher's classes.
    head: &'a ClassifierHead,
}

impl<'a> Distilling<'a> {
    /// The training images; where labels count, classes are numbered as the teacher numbers them.
    fn data(&self) -> Result<Arc<Dataset>, Error> {
        let DistillOptions { data, limit, max_image_bytes, .. } = self.options;
        let mut data = images::open_within(data, *limit, *max_image_bytes)?;
        if self.options.distillation.alpha < 1.0 {
            if data.labels().is_none() {
                return Err(EvalError::NoLabels("training").into());
            }
            classifier::match_labels(self.head, &mut data)?;
        }
        Ok(Arc::new(data))
    }

    fn encoder(&self) -> EncoderConfig {
        let own = self.options.student.clone();
        own.unwrap_or_else(|| self.teacher.clone()).resolved(self.preparation.preprocessing.size)
    }

    /// The student, on the autodiff device.
    fn student(&self) -> Result<Classifier<AnyEncoder>, Error> {
        let mut init = Init::new(self.options.seed, &self.device.clone().autodiff());
        let mut config = self.encoder();
        if self.options.resume && classifier::has_checkpoint(&self.options.out)? {
            // The checkpoint replaces the weights that the student started from, whose file may be gone.
            config.init = None;
        }
        let encoder = initial(&config, self.preparation.preprocessing.size, &mut init)?;
        Ok(Classifier::new(encoder, None, self.head.classes, &mut init))
    }

    fn run(
        &self,
        network: &Classifier<AnyEncoder>,
        schedule: &ScheduleConfig,
        data: &Dataset,
        test: Option<(PathBuf, EvalLoader)>,
    ) -> ClassifierRun<'a> {
        let (options, (test_path, test)) = (self.options, test.unzip());
        let record = self.record(test_path, schedule.clone(), data.len());
        ClassifierRun {
            out: &options.out,
            overwrite: options.overwrite,
            resume: options.resume,
            accept_changed_data: options.accept_changed_data,
            device: self.device,
            group: &options.group,
            encoder: record.artifact(self.preparation.preprocessing, data_summary(&options.data, data)),
            head: classifier::head(network, self.head.class_names.clone()),
            record,
            test,
            metrics: METRICS,
            starts_from: format!("teacher: {}", self.teacher.name),
        }
    }

    /// Where the test images are, if there are any, and a loader of them.
    fn test(&self) -> Result<Option<(PathBuf, EvalLoader)>, Error> {
        let path = match &self.options.test {
            Some(path) => Some(path.clone()),
            None => classifier::recorded_test(&self.options.teacher)?,
        };
        let Some(path) = path else { return Ok(None) };
        let mut test = images::open_within(&path, self.options.test_limit, self.options.max_image_bytes)?;
        if test.labels().is_none() {
            return Err(EvalError::NoLabels("test").into());
        }
        classifier::match_labels(self.head, &mut test)?;
        Ok(Some((path, self.preparation.eval_loader(&Arc::new(test))?)))
    }

    /// Checks that there is memory for the student beside its teacher.
    fn check_memory(
        &self,
        images: &Dataset,
        batch_size: usize,
        test: Option<&EvalLoader>,
    ) -> Result<(), Error> {
        let (options, size) = (self.options, self.preparation.preprocessing.size);
        let teacher = self.teacher.footprint(size, size).ok().map(|teacher| EncoderFootprint {
            parameters: teacher.parameters + self.head.weights(teacher.feature_dim),
            ..teacher
        });
        let training = Training {
            encoder: &self.encoder(),
            neck: Vec::new(),
            classes: self.head.classes,
            size,
            batch: batch_size.div_ceil(options.group.size()),
            algorithm: &options.optimizer.algorithm,
            images,
            workers: worker_threads(self.preparation.workers),
            evaluated: test.map_or(0, |test| test.dataset().len().min(EVAL_BATCH)),
            teacher,
        };
        memory::check_classifier(&training, &options.device, &options.group)
    }

    fn record(&self, test: Option<PathBuf>, schedule: ScheduleConfig, train_images: usize) -> Record {
        let options = self.options;
        let DistillationConfig { temperature, alpha, t2_scale } = options.distillation;
        let own = [("temperature", Value::Float(temperature)), ("alpha", Value::Float(alpha))];
        // Written only if set, so that runs of older versions can be resumed.
        let own = own.into_iter().chain(t2_scale.then_some(("t2_scale", Value::Boolean(true))));
        // The path alone would let another teacher take its place when the run is resumed.
        let own = own.chain([(TEACHER_HASH, Value::String(self.teacher_hash.to_owned()))]);
        Record {
            made_by: "distill",
            from: format!("classifier {}", absolute(&options.teacher).display()),
            train: absolute(&options.data),
            train_images,
            test: test.as_deref().map(absolute),
            image_size: self.preparation.preprocessing.size,
            seed: options.seed,
            options: own.map(|(key, value)| (key.to_owned(), value)).collect(),
            encoder: self.encoder(),
            optimizer: options.optimizer.clone(),
            schedule,
        }
    }
}
