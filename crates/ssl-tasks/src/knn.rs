//! k-NN evaluation of an encoder.

use serde::Serialize;
use ssl_core::{DeviceSpec, Group};
use ssl_eval::{Embedder, KnnConfig};
use tracing::info;

use crate::encoder::EncoderSource;
use crate::evaluation::Evaluation;
use crate::overlap::warn_of_overlap;
use crate::sets::OpenedSets;
use crate::{EncoderSummary, Error, Methods, SetOptions};

/// Options of [`evaluate_knn`].
#[derive(Clone, Debug, PartialEq)]
pub struct KnnOptions {
    /// The encoder.
    pub encoder: EncoderSource,
    /// The labelled bank and the labelled queries.
    pub sets: SetOptions,
    /// Neighbours and temperature.
    pub knn: KnnConfig,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// The processes that share the images. Default: this one alone.
    pub group: Group,
}

impl KnnOptions {
    /// An encoder on the sets of its run.
    pub fn new(encoder: EncoderSource) -> Self {
        Self {
            encoder,
            sets: SetOptions::default(),
            knn: KnnConfig::default(),
            device: DeviceSpec::Flex,
            group: Group::default(),
        }
    }
}

/// The result of k-NN. Accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnnReport {
    /// Queries whose first prediction was right.
    pub knn_top1: f64,
    /// Queries whose class was among the first five predictions.
    pub knn_top5: f64,
    /// Neighbours that voted.
    pub k: usize,
    /// Temperature of their votes.
    pub temperature: f64,
    /// Queries.
    pub images: usize,
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Classifies the images of a test set by their nearest neighbours in a labelled bank.
///
/// # Errors
/// If the encoder, the sets or the device cannot be used.
pub fn evaluate_knn(methods: &impl Methods, options: &KnnOptions) -> Result<KnnReport, Error> {
    options.knn.validate()?;
    let device = options.device.open()?;
    let found = options.encoder.find(methods)?;
    let opened = options.sets.open(&options.encoder, found.artifact.as_ref(), "bank")?;
    let OpenedSets { preparation, data: sets, .. } = opened;
    let encoder = found.open(preparation.preprocessing.size, &device)?;
    info!("encoder: {}", found.summary);
    info!("bank: {}", sets.bank);
    info!("test: {}", sets.test);
    let at = Embedder::on(&device).in_group(&options.group);
    let scores = Evaluation::new(&sets, &preparation, options.knn, &at)?.of(&encoder)?;
    warn_of_overlap(&sets.bank, &sets.test);
    Ok(KnnReport {
        knn_top1: scores.top1,
        knn_top5: scores.top5,
        k: options.knn.k,
        temperature: options.knn.temperature,
        images: sets.test.len(),
        encoder: found.summary,
    })
}
