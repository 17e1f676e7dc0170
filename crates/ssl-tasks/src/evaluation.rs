//! k-NN and a linear classifier on the features of two labelled sets.

use std::time::Instant;

use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;
use ssl_core::{Encoder, Pass};
use ssl_data::EvalLoader;
use ssl_eval::{
    Embedder, EvalError, KnnConfig, embed, embed_batch, embed_with, knn, rankme, raw_pixels, ridge,
};

use crate::baselines::{KNN_TOP1, KNN_TOP1_PIXELS, LINEAR_TOP1, LINEAR_TOP1_PIXELS, LINEAR_TOP5};
use crate::images::EvalData;
use crate::preparation::Preparation;
use crate::{Error, Recipe};

/// Added to the normalised singular values, see [`rankme`].
pub(crate) const RANKME_EPS: f64 = 1e-7;

/// Batches that a long evaluation is timed with.
const SAMPLED: usize = 2;
/// Seconds up to which an evaluation is made as a whole to see what it takes (our choice).
const SHORT: f64 = 10.0;
/// Products of pixels that a comparison of pixels may take (our choice: seconds on a CPU).
const PRODUCTS: usize = 100_000_000_000;

/// Pixels of a bank that are kept at a time for it (our choice: 200 MB of float32).
const PIXELS: usize = 50_000_000;

/// Width and height of the images whose pixels are classified linearly; larger ones are shrunk. Our choice: the equations of 768
/// numbers are solved in a fraction of a second, and pixels of larger images hardly do better.
const SIDE: usize = 16;

/// Two labelled sets, ready to be embedded.
pub(crate) struct Evaluation {
    bank: EvalLoader,
    test: EvalLoader,
    knn: KnnConfig,
    /// Whether a linear classifier is fitted too.
    linear: bool,
    at: Embedder,
}

/// The result of an evaluation, in per cent but for the rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EvalScores {
    /// Queries whose first prediction by k-NN was right.
    pub(crate) top1: f64,
    /// Queries whose class was among its first five.
    pub(crate) top5: f64,
    /// Both for a linear classifier, if one was fitted.
    pub(crate) linear: Option<[f64; 2]>,
    /// Effective number of dimensions of the queries' features.
    pub(crate) rankme: f64,
}

/// What evaluations of a run take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Taken {
    /// Seconds of an evaluation; of a long one, those of its features.
    pub(crate) seconds: f64,
    /// Seconds that raw pixels take, once; 0 if they were not measured.
    pub(crate) pixel_seconds: f64,
    /// Bytes that an evaluation needs beside those that were taken to find this out.
    pub(crate) to_come: f64,
    /// Whether a whole evaluation was made.
    pub(crate) is_whole: bool,
}

/// Accuracies on raw pixels in per cent: the figures to beat. Those that take too long to be measured in passing are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PixelScores {
    pub(crate) knn: Option<f64>,
    pub(crate) linear: Option<f64>,
}

impl Recipe {
    /// Prepares an evaluation on two sets.
    pub(crate) fn evaluation(&self, data: &EvalData, at: &Embedder) -> Result<Evaluation, Error> {
        let evaluation = Evaluation::new(data, &Preparation::of(&self.data), self.knn_config(), at)?;
        Ok(Evaluation { linear: self.eval.linear, ..evaluation })
    }
}

impl Evaluation {
    /// k-NN alone.
    pub(crate) fn new(
        data: &EvalData,
        preparation: &Preparation,
        knn: KnnConfig,
        at: &Embedder,
    ) -> Result<Self, Error> {
        Ok(Self {
            bank: preparation.eval_loader(&data.bank)?,
            test: preparation.eval_loader(&data.test)?,
            knn,
            linear: false,
            at: at.clone(),
        })
    }

    /// Evaluates an encoder, which is on the device without gradients.
    pub(crate) fn of<E: Encoder>(&self, encoder: &E) -> Result<EvalScores, EvalError> {
        let bank = embed(encoder, &self.bank, &self.at)?;
        let test = embed(encoder, &self.test, &self.at)?;
        let found = knn(&bank, &test, &self.knn)?;
        let linear = self.linear.then(|| ridge(&bank, &test)).transpose()?;
        Ok(EvalScores {
            top1: 100.0 * found.top1,
            top5: 100.0 * found.top5,
            linear: linear.map(|found| [found.top1, found.top5].map(|share| 100.0 * share)),
            rankme: rankme(test.values, RANKME_EPS),
        })
    }

    /// What evaluations of a run take: a short one is made as the run makes its first one.
    pub(crate) fn rehearse<E: Encoder>(&self, encoder: &E, image_size: usize) -> Result<Taken, EvalError> {
        let seconds = self.embedding_seconds(encoder)?;
        // Processes have to agree, and their clocks differ.
        if seconds > SHORT || !self.at.group.is_solo() {
            let to_come = self.feature_bytes(encoder.feature_dim());
            return Ok(Taken { seconds, to_come, ..Taken::default() });
        }
        let start = Instant::now();
        self.of_pixels(image_size)?;
        let pixel_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        self.of(encoder)?;
        Ok(Taken { seconds: start.elapsed().as_secs_f64(), pixel_seconds, to_come: 0.0, is_whole: true })
    }

    /// The seconds in which all images pass the encoder, from the first ones of the test set.
    fn embedding_seconds<E: Encoder>(&self, encoder: &E) -> Result<f64, EvalError> {
        let (start, mut images) = (Instant::now(), 0);
        for batch in self.test.batches()?.take(SAMPLED) {
            let features =
                embed_batch(batch?, &self.at.device, |images| encoder.encode(images, &Pass::eval()));
            images += features.values.dims()[0];
            features.check_finite("test")?; // waits for the device
        }
        let all = self.bank.dataset().len() + self.test.dataset().len();
        let each = start.elapsed().as_secs_f64() / images.max(1) as f64;
        Ok(each * all as f64 / self.at.group.size() as f64)
    }

    /// Bytes of the features of all images.
    fn feature_bytes(&self, feature_dim: usize) -> f64 {
        4.0 * feature_dim as f64 * (self.bank.dataset().len() + self.test.dataset().len()) as f64
    }

    /// Evaluates raw pixels.
    pub(crate) fn of_pixels(&self, image_size: usize) -> Result<PixelScores, EvalError> {
        let [bank, test] = [&self.bank, &self.test].map(|set| set.dataset().len());
        let pixels = |side: usize| 3 * side * side;
        let fits = |side, with: usize| {
            let kept = bank.saturating_mul(pixels(side));
            kept <= PIXELS && kept.saturating_mul(with) <= PRODUCTS
        };
        let mut found = PixelScores::default();
        if fits(image_size, test) {
            let sets = [raw_pixels(&self.bank, &self.at)?, raw_pixels(&self.test, &self.at)?];
            found.knn = Some(100.0 * knn(&sets[0], &sets[1], &self.knn)?.top1);
        }
        let side = image_size.min(SIDE);
        if self.linear && fits(side, pixels(side)) {
            let shrunk = |set| embed_with(set, &self.at, |images| shrunk(images, side));
            found.linear = Some(100.0 * ridge(&shrunk(&self.bank)?, &shrunk(&self.test)?)?.top1);
        }
        Ok(found)
    }
}

/// The pixels of images, `[batch, channel, height, width]`, averaged to `side` rows and columns: `[batch, channel · side · side]`.
fn shrunk(images: Tensor<4>, side: usize) -> Tensor<2> {
    adaptive_avg_pool2d(images, [side, side]).flatten(1, 3)
}

impl EvalScores {
    /// The scores under their names in the metrics file.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, f64)> {
        let linear = self.linear.map(|[top1, top5]| [(LINEAR_TOP1, top1), (LINEAR_TOP5, top5)]);
        let mut metrics = vec![(KNN_TOP1, self.top1), ("knn_top5", self.top5)];
        metrics.extend(linear.into_iter().flatten());
        metrics.push(("rankme", self.rankme));
        metrics
    }
}

impl PixelScores {
    /// The scores under their names in the metrics file.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let scores = [(KNN_TOP1_PIXELS, self.knn), (LINEAR_TOP1_PIXELS, self.linear)];
        scores.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}
