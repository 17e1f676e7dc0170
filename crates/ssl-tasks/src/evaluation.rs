//! k-NN of an encoder on two labelled sets.

use std::time::Instant;

use ssl_core::{Encoder, Pass};
use ssl_data::EvalLoader;
use ssl_eval::{Embedder, EvalError, KnnConfig, embed, embed_batch, knn, rankme, raw_pixels};

use crate::images::EvalData;
use crate::preparation::Preparation;
use crate::{Error, Recipe};

/// Added to the normalised singular values, see [`rankme`].
pub(crate) const RANKME_EPS: f64 = 1e-7;

/// Batches that an evaluation is timed with.
const SAMPLED: usize = 2;

/// Two labelled sets, ready to be embedded.
pub(crate) struct Evaluation {
    bank: EvalLoader,
    test: EvalLoader,
    config: KnnConfig,
    at: Embedder,
}

/// The result of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EvalScores {
    /// Per cent of queries whose first prediction was right.
    pub(crate) top1: f64,
    /// Per cent of queries whose class was among the first five predictions.
    pub(crate) top5: f64,
    /// Effective number of dimensions of the queries' features.
    pub(crate) rankme: f64,
}

impl Recipe {
    /// Prepares k-NN on two sets.
    pub(crate) fn evaluation(&self, data: &EvalData, at: &Embedder) -> Result<Evaluation, Error> {
        Evaluation::new(data, &Preparation::of(&self.data), self.knn_config(), at)
    }
}

impl Evaluation {
    pub(crate) fn new(
        data: &EvalData,
        preparation: &Preparation,
        config: KnnConfig,
        at: &Embedder,
    ) -> Result<Self, Error> {
        Ok(Self {
            bank: preparation.eval_loader(&data.bank)?,
            test: preparation.eval_loader(&data.test)?,
            config,
            at: at.clone(),
        })
    }

    /// Evaluates an encoder, which is on the device without gradients.
    pub(crate) fn of<E: Encoder>(&self, encoder: &E) -> Result<EvalScores, EvalError> {
        let bank = embed(encoder, &self.bank, &self.at)?;
        let test = embed(encoder, &self.test, &self.at)?;
        let found = knn(&bank, &test, &self.config)?;
        let rankme = rankme(test.values, RANKME_EPS);
        Ok(EvalScores { top1: 100.0 * found.top1, top5: 100.0 * found.top5, rankme })
    }

    /// The seconds that [`of`](Self::of) takes, from the first images of the test set.
    pub(crate) fn seconds<E: Encoder>(&self, encoder: &E) -> Result<f64, EvalError> {
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
    pub(crate) fn feature_bytes(&self, feature_dim: usize) -> f64 {
        4.0 * feature_dim as f64 * (self.bank.dataset().len() + self.test.dataset().len()) as f64
    }

    /// k-NN top-1 on the raw pixels in per cent: the figure to beat.
    pub(crate) fn of_pixels(&self) -> Result<f64, EvalError> {
        let bank = raw_pixels(&self.bank, &self.at)?;
        let test = raw_pixels(&self.test, &self.at)?;
        Ok(100.0 * knn(&bank, &test, &self.config)?.top1)
    }
}

impl EvalScores {
    /// The scores under their names in the metrics file.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, f64)> {
        vec![("knn_top1", self.top1), ("knn_top5", self.top5), ("rankme", self.rankme)]
    }
}
