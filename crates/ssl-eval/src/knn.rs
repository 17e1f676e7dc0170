//! Weighted k-nearest-neighbour classification.

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{ConfigError, limits};

use crate::accuracy::best_classes;
use crate::{Accuracy, EvalError, Features};

/// Cosines computed at a time (our choice: 64 MB of float32).
const BLOCK: usize = 1 << 24;
/// Cosines that are passed over together if none of them is among the largest so far.
const PASSED: usize = 64;

/// Hyper-parameters of k-NN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnnConfig {
    /// Neighbours that vote, at least 1; all of the bank if it has fewer. Default 20 (DINO, `eval_knn.py`).
    pub k: usize,
    /// `T` of the weights `exp(cos / T)`, above 0. Default 0.07 (DINO, `eval_knn.py`).
    pub temperature: f64,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self { k: 20, temperature: 0.07 }
    }
}

impl KnnConfig {
    /// # Errors
    /// The first field whose value no evaluation could use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::neighbours("k", self.k)?;
        limits::temperature("temperature", self.temperature)
    }
}

/// The result of k-NN.
#[derive(Clone, Debug, PartialEq)]
pub struct Knn {
    /// Share of queries whose class has the highest score, 0 to 1.
    pub top1: f64,
    /// Share of queries whose class is among the five highest scores, 0 to 1.
    pub top5: f64,
    /// Scores by query and class.
    pub scores: Vec<Vec<f64>>,
    /// The five highest-scoring classes of each query, best first; all classes if there are fewer.
    pub predictions: Vec<Vec<i64>>,
}

/// Classifies queries by the labels of their nearest neighbours in a bank.
///
/// ```text
/// score(c) = Σ over the k nearest bank rows b of class c of exp(cos(query, b) / T)
/// ```
///
/// Neighbours with equal cosines rank by their place in the bank, classes with equal scores by their number.
///
/// # Shapes
/// - `bank.values`, `queries.values`: `[image, dim]`; this function normalises them
///
/// # Errors
/// If labels are missing, features are not finite, or a value of the configuration is out of range.
///
/// # Panics
/// If the two sets differ in `dim`, or a set is empty.
///
/// # Source
/// Wu et al. 2018, section 3.4, <https://arxiv.org/abs/1805.01978>; DINO's `eval_knn.py` for the values.
pub fn knn(bank: &Features, queries: &Features, config: &KnnConfig) -> Result<Knn, EvalError> {
    let labels = bank.labels.iter().chain(&queries.labels).flatten();
    let classes = labels.max().map_or(0, |&label| label as usize + 1);
    knn_among(classes, bank, queries, config)
}

/// [`knn`] with a given number of classes, some of which may have no labels.
///
/// # Errors
/// Those of [`knn`].
///
/// # Panics
/// Like [`knn`]; and if a label is not below `classes`.
pub fn knn_among(
    classes: usize,
    bank: &Features,
    queries: &Features,
    config: &KnnConfig,
) -> Result<Knn, EvalError> {
    config.validate()?;
    let bank_labels = bank.labels.as_ref().ok_or(EvalError::NoLabels("bank"))?;
    let query_labels = queries.labels.as_ref().ok_or(EvalError::NoLabels("test"))?;
    let found = neighbours(bank, queries, config.k)?;
    let score = |found: &Vec<_>| vote(found, bank_labels, classes, config.temperature);
    let scores: Vec<_> = found.iter().map(score).collect();
    let predictions: Vec<_> = scores.iter().map(|scores| best_classes(scores)).collect();
    let Accuracy { top1, top5 } = Accuracy::of(&predictions, query_labels);
    Ok(Knn { top1, top5, scores, predictions })
}

/// The `k` images of a bank that are most similar to each query: their places in the bank and cosines, the largest first, equal
/// ones by place.
///
/// # Shapes
/// - `bank.values`, `queries.values`: `[image, dim]`, normalised here
///
/// # Errors
/// Features that are not finite.
///
/// # Panics
/// If the two sets differ in `dim`, or a set is empty.
pub fn neighbours(
    bank: &Features,
    queries: &Features,
    k: usize,
) -> Result<Vec<Vec<(usize, f32)>>, EvalError> {
    let [images, _] = bank.values.dims();
    let bank = unit_rows(bank, "bank")?.transpose();
    let queries = unit_rows(queries, "test")?;

    let mut found = Vec::new();
    let rows = (BLOCK / images).max(1);
    for block in queries.split(rows, 0) {
        let cosines = block.matmul(bank.clone()).into_data().convert::<f32>();
        let cosines = cosines.as_slice::<f32>().expect("converted to float32");
        found.par_extend(cosines.par_chunks(images).map(|row| nearest(row, k)));
    }
    Ok(found)
}

fn unit_rows(features: &Features, name: &'static str) -> Result<Tensor<2>, EvalError> {
    features.check_finite(name)?;
    Ok(l2_normalize(features.values.clone(), NORMALIZE_EPS))
}

/// The indices and values of the `k` largest cosines, largest first, equal ones by index.
fn nearest(cosines: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut found: Vec<(usize, f32)> = Vec::with_capacity(k.min(cosines.len()) + 1);
    // What a cosine has to exceed.
    let mut worst = f32::NEG_INFINITY;
    for (index, piece) in cosines.chunks(PASSED).enumerate() {
        let largest = piece.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        if largest <= worst {
            continue;
        }
        for (place, &cosine) in piece.iter().enumerate() {
            if cosine <= worst {
                continue;
            }
            // Behind its equals, which come earlier in the bank.
            let rank = found.partition_point(|&(_, better)| better >= cosine);
            found.insert(rank, (index * PASSED + place, cosine));
            found.truncate(k);
            if found.len() == k {
                worst = found[k - 1].1;
            }
        }
    }
    found
}

fn vote(neighbours: &[(usize, f32)], labels: &[i64], classes: usize, temperature: f64) -> Vec<f64> {
    let mut scores = vec![0.0; classes];
    for &(place, cosine) in neighbours {
        scores[labels[place] as usize] += (f64::from(cosine) / temperature).exp();
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    fn features(rows: &[[f32; 2]], labels: &[i64]) -> Features {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let values = rows.iter().map(|row| Tensor::<1>::from_floats(*row, &device)).collect();
        Features { values: Tensor::stack(values, 0), labels: Some(labels.to_vec()) }
    }

    #[test]
    fn equal_neighbours_rank_by_their_place_in_the_bank() {
        assert_eq!(nearest(&[0.5, 0.9, 0.5, 0.9, 0.1], 3), [(1, 0.9), (3, 0.9), (0, 0.5)]);
        assert_eq!(nearest(&[0.5, 0.5, 0.9], 2), [(2, 0.9), (0, 0.5)]);
        assert_eq!(nearest(&[0.1, 0.2], 5), [(1, 0.2), (0, 0.1)]);
    }

    #[test]
    fn the_nearest_of_many_are_the_first_of_all_in_order() {
        let cosines: Vec<f32> = (0..1000).map(|i| (i * 7919 % 211) as f32 / 211.0).collect();
        let mut all: Vec<_> = cosines.iter().copied().enumerate().collect();
        all.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for k in [1, 20, 999, 1000] {
            assert_eq!(nearest(&cosines, k), all[..k], "k = {k}");
        }
    }

    #[test]
    fn a_near_neighbour_outweighs_two_far_ones() {
        let bank = features(&[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], &[0, 1, 1]);
        let queries = features(&[[1.0, 0.5]], &[0]);
        let sharp = knn(&bank, &queries, &KnnConfig { k: 3, temperature: 0.07 }).expect("usable");
        let flat = knn(&bank, &queries, &KnnConfig { k: 3, temperature: 100.0 }).expect("usable");
        assert_eq!((sharp.top1, flat.top1, flat.top5), (1.0, 0.0, 1.0));
    }

    #[test]
    fn the_length_of_a_feature_does_not_count() {
        let bank = features(&[[1.0, 0.0], [0.0, 1.0]], &[0, 1]);
        let config = KnnConfig { k: 1, temperature: 0.1 };
        let long = knn(&bank, &features(&[[10.0, 9.0]], &[0]), &config).expect("usable");
        let short = knn(&bank, &features(&[[0.1, 0.09]], &[0]), &config).expect("usable");
        assert_eq!((long.top1, short.top1), (1.0, 1.0));
    }

    #[test]
    fn missing_labels_and_bad_features_and_values_are_named() {
        let good = features(&[[1.0, 0.0]], &[0]);
        let bare = Features { labels: None, ..good.clone() };
        let broken = features(&[[f32::NAN, 0.0]], &[0]);
        let error = |bank, queries, k| {
            let found = knn(bank, queries, &KnnConfig { k, ..KnnConfig::default() });
            found.expect_err("unusable").to_string()
        };
        assert!(error(&bare, &good, 1).starts_with("the bank images have no labels"));
        assert!(error(&good, &bare, 1).starts_with("the test images have no labels"));
        assert!(error(&good, &broken, 1).contains("not all finite"));
        assert_eq!(error(&good, &good, 0), "k is 0, expected at least 1");
    }
}
