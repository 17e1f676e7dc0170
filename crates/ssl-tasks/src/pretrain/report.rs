//! The result of a run.

use std::path::PathBuf;

use serde::Serialize;
use ssl_train::Summary;

use super::{PretrainOptions, SHEET, Verdict};
use crate::{Recipe, memory};

/// The result of a run. k-NN accuracies are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the method.
    pub method: String,
    /// The recipe that it started from, by name or file, if the options say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Hash of everything that determines the final weights on given images.
    pub recipe_hash: String,
    /// Seed of the initial weights, the order of the images and the views.
    pub seed: u64,
    /// The device.
    pub device: String,
    /// Steps in total.
    pub steps: u64,
    /// Whole epochs in total.
    pub epochs: u64,
    /// Seconds of training in total, without evaluation.
    pub seconds: f64,
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// Training speed in images per second; an image counts once, however many views it has.
    pub images_per_s: f64,
    /// k-NN top-1 at the end, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1: Option<f64>,
    /// k-NN top-1 before the first step, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1_untrained: Option<f64>,
    /// RankMe of the test images at the end, the effective number of dimensions of their features, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme: Option<f64>,
    /// RankMe of the test images before the first step, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme_untrained: Option<f64>,
    /// Test images of the k-NN accuracies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_images: Option<u64>,
    /// Whether the run learned anything; none if it was stopped, or has fewer than two images that can be read.
    #[serde(flatten)]
    pub verdict: Option<Verdict>,
    /// The most memory that the process has held, in bytes, where the operating system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_mem: Option<u64>,
    /// The memory that was expected before the first step, in bytes: see [`Estimate`](crate::memory::Estimate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_mem: Option<u64>,
    /// The sheet of some images and their views, if it could be drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<PathBuf>,
    /// The page about the run, if it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<PathBuf>,
    /// The run directory.
    pub out: PathBuf,
    /// Whether the run reached its last step; false if it was stopped.
    #[serde(skip)]
    pub finished: bool,
}

impl Report {
    pub(super) fn new(recipe: &Recipe, options: &PretrainOptions, summary: &Summary) -> Self {
        let metric = |metrics: &[(String, f64)], wanted: &str| {
            metrics.iter().find(|(name, _)| name == wanted).map(|&(_, value)| value)
        };
        let [trained, untrained] = [&summary.evaluation, &summary.untrained];
        Self {
            method: recipe.method.clone(),
            recipe: options.recipe_name.clone(),
            recipe_hash: recipe.hash(),
            seed: recipe.seed,
            device: options.device.to_string(),
            steps: summary.steps,
            epochs: summary.epochs,
            seconds: summary.seconds,
            train_loss: summary.train_loss,
            images_per_s: summary.images_per_s,
            knn_top1: metric(trained, "knn_top1"),
            knn_top1_untrained: metric(untrained, "knn_top1"),
            rankme: metric(trained, "rankme"),
            rankme_untrained: metric(untrained, "rankme"),
            knn_images: None,
            verdict: None,
            max_mem: memory::peak(),
            expected_mem: None,
            sheet: Some(options.out.join(SHEET)).filter(|sheet| sheet.is_file()),
            report: Some(options.out.join("report.html")).filter(|page| summary.finished && page.is_file()),
            out: options.out.clone(),
            finished: summary.finished,
        }
    }
}
