//! k-NN of an encoder on two labelled sets, as a command.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use ssl_core::DeviceSpec;
use ssl_eval::KnnConfig;
use tracing::info;

use crate::encoder::EncoderSource;
use crate::evaluation::Evaluation;
use crate::images::{self, EvalData};
use crate::{Error, Recipe};

/// What is evaluated, and on what.
#[derive(Clone, Debug, PartialEq)]
pub struct KnnOptions {
    /// The encoder.
    pub encoder: EncoderSource,
    /// The labelled bank. Default: that of the run, where the encoder comes from one.
    pub train: Option<PathBuf>,
    /// Keep only so many images of the bank. Default: all, or what the run kept.
    pub train_limit: Option<usize>,
    /// The labelled queries. Default: those of the run, where the encoder comes from one.
    pub test: Option<PathBuf>,
    /// Keep only so many queries. Default: all, or what the run kept.
    pub test_limit: Option<usize>,
    /// Width and height of the images. Default: those of the run or of the data set's usual recipe.
    pub image_size: Option<usize>,
    /// Neighbours and temperature.
    pub knn: KnnConfig,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// Threads that decode; 0, the default, stands for one per core.
    pub workers: usize,
}

impl KnnOptions {
    /// An encoder on the sets of its run.
    pub fn new(encoder: EncoderSource) -> Self {
        Self {
            encoder,
            train: None,
            train_limit: None,
            test: None,
            test_limit: None,
            image_size: None,
            knn: KnnConfig::default(),
            device: DeviceSpec::Flex,
            workers: 0,
        }
    }
}

/// The result of k-NN. Accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnnReport {
    /// Queries whose class came first.
    pub knn_top1: f64,
    /// Queries whose class was among the first five.
    pub knn_top5: f64,
    /// Neighbours that voted.
    pub k: usize,
    /// Temperature of their votes.
    pub temperature: f64,
    /// Queries.
    pub images: usize,
}

/// Classifies the images of a test set by their nearest neighbours in a labelled bank.
///
/// # Errors
/// What the encoder, the sets or the device have wrong.
pub fn evaluate_knn(options: &KnnOptions) -> Result<KnnReport, Error> {
    options.knn.validate()?;
    let device = options.device.open()?;
    let (recipe, sets) = options.sets()?;
    let encoder = options.encoder.open(&recipe, &device)?;
    info!("bank: {}", sets.bank);
    info!("test: {}", sets.test);
    let found = Evaluation::new(&sets, &recipe, &device)?.of(&encoder)?;
    Ok(KnnReport {
        knn_top1: found.top1,
        knn_top5: found.top5,
        k: options.knn.k,
        temperature: options.knn.temperature,
        images: sets.test.len(),
    })
}

impl KnnOptions {
    /// The recipe that says how images are prepared, and the images.
    fn sets(&self) -> Result<(Recipe, EvalData), Error> {
        let of_run = self.encoder.run_recipe()?;
        let run = of_run.as_ref();
        let run_bank =
            run.map(|recipe| recipe.eval.train.clone().unwrap_or_else(|| recipe.data.path.clone()));
        let run_limit = run.filter(|recipe| recipe.eval.train.is_none()).and_then(|recipe| recipe.data.limit);
        let train_limit = self.train_limit.or(run_limit.filter(|_| self.train.is_none()));
        let run_test_limit = run.and_then(|recipe| recipe.eval.limit).filter(|_| self.test.is_none());
        let train = self.train.clone().or(run_bank).ok_or(Error::NoSet("train"))?;
        let test = self.test.clone().or_else(|| run?.eval.test.clone()).ok_or(Error::NoSet("test"))?;
        let bank = Arc::new(images::open(&train, train_limit)?);
        let sets = EvalData::new(bank, images::open(&test, self.test_limit.or(run_test_limit))?)?;

        let mut recipe = match of_run {
            Some(recipe) => recipe,
            None => self.encoder.usual_recipe(self.image_size.or_else(|| images::pixels(&sets.bank)))?,
        };
        recipe.data.image_size = self.image_size.unwrap_or(recipe.data.image_size);
        recipe.data.workers = self.workers;
        (recipe.eval.k, recipe.eval.temperature) = (self.knn.k, self.knn.temperature);
        Ok((recipe, sets))
    }
}
