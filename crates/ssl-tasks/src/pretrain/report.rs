//! The result of a run.

use std::path::PathBuf;

use serde::Serialize;
use ssl_train::Summary;

use super::{PretrainOptions, SHEET, Verdict};
use crate::baselines::{Baseline, Baselines, KNN_TOP1, KNN_TOP1_PIXELS, LINEAR_TOP1, LINEAR_TOP1_PIXELS};
use crate::{Recipe, memory};

/// The result of a run. Accuracies are in per cent.
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
    /// k-NN top-1 of the raw pixels, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1_pixels: Option<f64>,
    /// Top-1 of a linear classifier at the end, fitted in closed form ([`ridge`](ssl_eval::ridge())), if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1: Option<f64>,
    /// The same before the first step, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1_untrained: Option<f64>,
    /// The same of the raw pixels of images shrunk to at most 16 x 16, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1_pixels: Option<f64>,
    /// RankMe of the test images at the end, the effective number of dimensions of their features, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme: Option<f64>,
    /// RankMe of the test images before the first step, if evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme_untrained: Option<f64>,
    /// Test images of the accuracies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_images: Option<u64>,
    /// Whether the run learned anything; none if it was stopped, or has fewer than two images that can be read.
    #[serde(flatten)]
    pub verdict: Option<Verdict>,
    /// The most memory that the process has held, in bytes, where the operating system tells; of several, the one that held most.
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
    /// What the accuracies are compared with.
    pub(crate) fn baselines(&self) -> Baselines {
        let [knn, linear] = [
            [self.knn_top1_pixels, self.knn_top1_untrained],
            [self.linear_top1_pixels, self.linear_top1_untrained],
        ]
        .map(|[pixels, untrained]| Baseline { pixels, untrained });
        Baselines { knn, linear }
    }

    /// A call of all processes of the run.
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
            knn_top1: metric(trained, KNN_TOP1),
            knn_top1_untrained: metric(untrained, KNN_TOP1),
            knn_top1_pixels: metric(untrained, KNN_TOP1_PIXELS),
            linear_top1: metric(trained, LINEAR_TOP1),
            linear_top1_untrained: metric(untrained, LINEAR_TOP1),
            linear_top1_pixels: metric(untrained, LINEAR_TOP1_PIXELS),
            rankme: metric(trained, "rankme"),
            rankme_untrained: metric(untrained, "rankme"),
            knn_images: None,
            verdict: None,
            max_mem: memory::peak_in(&options.group),
            expected_mem: None,
            sheet: Some(options.out.join(SHEET)).filter(|sheet| sheet.is_file()),
            report: Some(options.out.join("report.html")).filter(|page| summary.finished && page.is_file()),
            out: options.out.clone(),
            finished: summary.finished,
        }
    }
}
