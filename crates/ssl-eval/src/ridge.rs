//! Linear classification in closed form.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use nalgebra::DMatrix;

use crate::accuracy::best_classes;
use crate::{Accuracy, EvalError, Features};

/// Rows whose products are summed in float32 (our choice); the sums of blocks are added in float64.
const BLOCK: usize = 8192;

/// Scores computed at a time (our choice: 64 MB of float32).
const SCORES: usize = 1 << 24;

/// The least shrinkage (our choice): rounding in float32 does not matter beside it.
const LEAST: f64 = 1e-4;

/// Features that vary less than this share of their size carry rounding errors alone, and are left out (our choice).
const CONSTANT: f64 = 1e-6;

/// The result of [`ridge`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    /// Share of queries whose class has the highest score, 0 to 1.
    pub top1: f64,
    /// Share of queries whose class is among the five highest scores, 0 to 1.
    pub top5: f64,
    /// `ρ`, the weight of the penalty, 0 to 1.
    pub shrinkage: f64,
}

/// Classifies queries by a linear classifier that is fitted to a bank in closed form: ridge regression of one-hot labels on
/// standardised features. It is exact and has no rate, no epochs and no seed, so that it can run beside a training.
///
/// ```text
/// x = (z − mean) / deviation        of the bank, feature by feature
/// S = XᵀX / n
/// W = ((1 − ρ) S + ρ I)⁻¹ XᵀY / n   Y: one-hot labels
/// scores(q) = qᵀW + share of each class
/// ρ = min(1, Σᵢ ‖xᵢxᵢᵀ − S‖² / (n² ‖S − I‖²))
/// ```
///
/// This is least squares with the penalty `ρ / (1 − ρ) ‖W‖²` on a mean squared error. `ρ` is small where there are many more images
/// than features, and near 1 where there are few.
///
/// # Shapes
/// - `bank.values`, `queries.values`: `[image, dim]`
///
/// # Errors
/// If labels are missing, or features are not finite.
///
/// # Panics
/// If the two sets differ in `dim`, or a set is empty.
///
/// # Source
/// Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", lemma 3.4, for `ρ`; Hastie,
/// Tibshirani & Friedman 2009, "The Elements of Statistical Learning", section 4.2, for regression on one-hot labels. A linear
/// probe that is trained ([`ProbeHead`](crate::ProbeHead)) has another loss, and other accuracies.
pub fn ridge(bank: &Features, queries: &Features) -> Result<Ridge, EvalError> {
    let labels = bank.labels.as_ref().ok_or(EvalError::NoLabels("bank"))?;
    let query_labels = queries.labels.as_ref().ok_or(EvalError::NoLabels("test"))?;
    bank.check_finite("bank")?;
    queries.check_finite("test")?;

    let targets = Targets::of(labels);
    let standard = Standard::of(&bank.values);
    let [rows, dim] = bank.values.dims();
    let fit = match rows < dim {
        true => of_images(&bank.values, &standard, &targets),
        false => of_features(&bank.values, &standard, &targets),
    };
    let Fit { weights, shrinkage } = fit.ok_or(EvalError::NotFinite("bank"))?;
    let predictions = predictions(&queries.values, &standard, &targets, &weights);
    let Accuracy { top1, top5 } = Accuracy::of(&predictions, query_labels);
    Ok(Ridge { top1, top5, shrinkage })
}

/// The classes of a bank.
struct Targets {
    /// The labels that occur, in order.
    labels: Vec<i64>,
    /// The place of each image's label among them.
    of_image: Vec<usize>,
}

impl Targets {
    fn of(labels: &[i64]) -> Self {
        let mut places: BTreeMap<i64, usize> = labels.iter().map(|&label| (label, 0)).collect();
        places.values_mut().enumerate().for_each(|(place, value)| *value = place);
        let of_image = labels.iter().map(|label| places[label]).collect();
        Self { labels: places.into_keys().collect(), of_image }
    }

    /// The share of each class, `[1, class]`.
    fn shares(&self, like: &Tensor<2>) -> Tensor<2> {
        let mut shares = vec![0.0; self.labels.len()];
        let each = 1.0 / self.of_image.len() as f64;
        self.of_image.iter().for_each(|&class| shares[class] += each);
        row(shares, like)
    }
}

/// The mean and the inverse deviation of each feature, `[1, dim]`.
struct Standard {
    mean: Tensor<2>,
    /// 0 for a feature that does not vary.
    scale: Tensor<2>,
    /// Features that vary.
    varying: usize,
}

impl Standard {
    fn of(values: &Tensor<2>) -> Self {
        let [rows, dim] = values.dims();
        let mut sums = vec![[0.0; 2]; dim];
        for block in values.clone().split(BLOCK, 0) {
            for row in numbers(&block).chunks_exact(dim) {
                for ([sum, squares], value) in sums.iter_mut().zip(row) {
                    *sum += value;
                    *squares += value * value;
                }
            }
        }
        let moments = sums.iter().map(|sums| sums.map(|sum| sum / rows as f64));
        let (mean, scale): (Vec<_>, Vec<f64>) = moments
            .map(|[mean, square]| {
                let deviation = (square - mean * mean).max(0.0).sqrt();
                let varies = deviation > CONSTANT * square.sqrt();
                (mean, if varies { deviation.recip() } else { 0.0 })
            })
            .unzip();
        let varying = scale.iter().filter(|scale| **scale > 0.0).count();
        Self { mean: row(mean, values), scale: row(scale, values), varying }
    }

    fn apply(&self, values: Tensor<2>) -> Tensor<2> {
        (values - self.mean.clone()) * self.scale.clone()
    }
}

/// A fitted classifier.
struct Fit {
    /// `[dim, class]`
    weights: Tensor<2>,
    shrinkage: f64,
}

/// The fit by products of features, of which there are fewer than images; none if a number is not finite.
fn of_features(values: &Tensor<2>, standard: &Standard, targets: &Targets) -> Option<Fit> {
    let [rows, dim] = values.dims();
    let mut products = DMatrix::zeros(dim, dim);
    let mut sums = DMatrix::<f64>::zeros(dim, targets.labels.len());
    let mut fourth = 0.0;
    let blocks = values.clone().split(BLOCK, 0);
    for (block, classes) in blocks.into_iter().zip(targets.of_image.chunks(BLOCK)) {
        let x = standard.apply(block);
        for (row, &class) in numbers(&x).chunks_exact(dim).zip(classes) {
            fourth += row.iter().map(|value| value * value).sum::<f64>().powi(2);
            sums.column_mut(class).iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        products += matrix(&x.clone().transpose().matmul(x));
    }
    let count = rows as f64;
    products /= count;
    let shrinkage = shrinkage(count, standard.varying as f64, products.norm_squared(), fourth);
    let weights = shrunk(products, shrinkage).cholesky()?.solve(&(sums / count));
    Some(Fit { weights: tensor(&weights, values), shrinkage })
}

/// The same fit by products of images, of which there are fewer than features.
fn of_images(values: &Tensor<2>, standard: &Standard, targets: &Targets) -> Option<Fit> {
    let count = targets.of_image.len() as f64;
    let x = standard.apply(values.clone());
    let products = matrix(&x.clone().matmul(x.clone().transpose()));
    let fourth: f64 = products.diagonal().iter().map(|norm| norm * norm).sum();
    let products = products / count;
    let shrinkage = shrinkage(count, standard.varying as f64, products.norm_squared(), fourth);
    let mut shares = DMatrix::zeros(targets.of_image.len(), targets.labels.len());
    targets.of_image.iter().enumerate().for_each(|(image, &class)| shares[(image, class)] = 1.0 / count);
    let of_image = shrunk(products, shrinkage).cholesky()?.solve(&shares);
    Some(Fit { weights: x.transpose().matmul(tensor(&of_image, values)), shrinkage })
}

/// `ρ` of Ledoit and Wolf: the expected error of `S` over its distance from the identity, both squared. `norm` is `‖S‖²`, `fourth`
/// the sum of `‖x‖⁴`; the trace of `S` is the number of features.
fn shrinkage(rows: f64, features: f64, norm: f64, fourth: f64) -> f64 {
    let (error, distance) = ((fourth / rows - norm) / rows, norm - features);
    if distance > 0.0 { (error / distance).clamp(LEAST, 1.0) } else { 1.0 }
}

/// `(1 − ρ) S + ρ I`
fn shrunk(products: DMatrix<f64>, shrinkage: f64) -> DMatrix<f64> {
    let mut shrunk = products * (1.0 - shrinkage);
    (0..shrunk.nrows()).for_each(|place| shrunk[(place, place)] += shrinkage);
    shrunk
}

/// The five classes with the highest scores of each query, best first.
fn predictions(
    queries: &Tensor<2>,
    standard: &Standard,
    targets: &Targets,
    weights: &Tensor<2>,
) -> Vec<Vec<i64>> {
    let (classes, shares) = (targets.labels.len(), targets.shares(queries));
    let mut found = Vec::new();
    for block in queries.clone().split((SCORES / classes).max(1), 0) {
        let scores = standard.apply(block).matmul(weights.clone()) + shares.clone();
        found.extend(numbers(&scores).chunks_exact(classes).map(|scores| {
            best_classes(scores).into_iter().map(|place| targets.labels[place as usize]).collect()
        }));
    }
    found
}

/// The numbers of a tensor on the host, row by row.
fn numbers(values: &Tensor<2>) -> Vec<f64> {
    values.to_data().iter::<f64>().collect()
}

fn matrix(values: &Tensor<2>) -> DMatrix<f64> {
    let [rows, columns] = values.dims();
    DMatrix::from_row_slice(rows, columns, &numbers(values))
}

/// A matrix as a tensor on the device of another one.
fn tensor(matrix: &DMatrix<f64>, like: &Tensor<2>) -> Tensor<2> {
    let values: Vec<f32> = matrix.transpose().iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [matrix.nrows(), matrix.ncols()]), &like.device())
}

fn row(values: Vec<f64>, like: &Tensor<2>) -> Tensor<2> {
    tensor(&DMatrix::from_row_slice(1, values.len(), &values), like)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    /// Rows of noise around a mean for each class, of which there are three; the same numbers for the same `seed`.
    fn clouds(rows: usize, dim: usize, distance: f64, seed: u64) -> Features {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / (1 << 24) as f64 - 0.5
        };
        let labels: Vec<i64> = (0..rows as i64).map(|row| row % 3).collect();
        let values = labels.iter().flat_map(|&label| {
            let noise: Vec<_> = (0..dim).map(|_| uniform() + uniform()).collect();
            let mean = move |feature| if feature % 3 == label as usize { distance } else { 0.0 };
            noise.into_iter().enumerate().map(move |(feature, noise)| (noise + mean(feature)) as f32)
        });
        let values = TensorData::new(values.collect::<Vec<_>>(), [rows, dim]);
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Features { values: Tensor::from_data(values, &device), labels: Some(labels) }
    }

    fn labelled(features: &Features, labels: Vec<i64>) -> Features {
        Features { labels: Some(labels), ..features.clone() }
    }

    fn fits(features: &Features) -> [Fit; 2] {
        let targets = Targets::of(features.labels.as_ref().expect("labels"));
        let standard = Standard::of(&features.values);
        [of_features, of_images]
            .map(|fit| fit(&features.values, &standard, &targets).expect("positive definite"))
    }

    #[test]
    fn classes_that_lie_apart_are_told_apart() {
        let (bank, queries) = (clouds(60, 6, 2.0, 1), clouds(30, 6, 2.0, 2));
        let found = ridge(&bank, &queries).expect("usable");
        assert_eq!((found.top1, found.top5), (1.0, 1.0));
        let noise = ridge(&clouds(600, 6, 0.0, 1), &clouds(300, 6, 0.0, 2)).expect("usable");
        assert!((noise.top1 - 1.0 / 3.0).abs() < 0.12, "{noise:?}");
    }

    #[test]
    fn the_weights_solve_the_equations_of_ridge_regression() {
        let bank = clouds(50, 4, 0.5, 3);
        let targets = Targets::of(bank.labels.as_ref().expect("labels"));
        let standard = Standard::of(&bank.values);
        let Fit { weights, shrinkage } = of_features(&bank.values, &standard, &targets).expect("definite");
        let x = matrix(&standard.apply(bank.values.clone()));
        let mut y = DMatrix::zeros(50, 3);
        targets.of_image.iter().enumerate().for_each(|(row, &class)| y[(row, class)] = 1.0);
        let weights = matrix(&weights);
        let gradient = x.transpose() * (&x * &weights * (1.0 - shrinkage) - y) / 50.0 + weights * shrinkage;
        assert!(gradient.norm() < 1e-5, "{gradient}");
    }

    #[test]
    fn the_shrinkage_is_that_of_ledoit_and_wolf() {
        let bank = clouds(20, 5, 0.5, 4);
        let x = matrix(&Standard::of(&bank.values).apply(bank.values.clone()));
        let s = x.transpose() * &x / 20.0;
        let error: f64 = x.row_iter().map(|row| (row.transpose() * row - &s).norm_squared()).sum();
        let expected = error / 400.0 / (&s - DMatrix::identity(5, 5)).norm_squared();
        let found = fits(&bank).map(|fit| fit.shrinkage);
        assert!(found.iter().all(|found| (found - expected.min(1.0)).abs() < 1e-4), "{found:?} {expected}");
        assert!((LEAST..1.0).contains(&found[0]), "{found:?}");
    }

    #[test]
    fn products_of_images_and_of_features_give_the_same_weights() {
        for (rows, dim) in [(12, 12), (8, 20), (40, 5)] {
            let [of_features, of_images] = fits(&clouds(rows, dim, 0.7, 5));
            let difference = (of_features.weights - of_images.weights).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-4, "{rows} images, {dim} features: {difference}");
        }
    }

    #[test]
    fn scale_shift_and_constant_features_do_not_count() {
        let (bank, queries) = (clouds(60, 6, 0.4, 6), clouds(300, 6, 0.4, 7));
        let plain = ridge(&bank, &queries).expect("usable");
        assert!((0.4..1.0).contains(&plain.top1), "{plain:?}");
        let moved = |features: &Features| {
            let values = features.values.clone() * 64.0 + 8.0;
            let constant = Tensor::full([values.dims()[0], 1], 3.3, &values.device());
            Features { values: Tensor::cat(vec![values, constant], 1), ..features.clone() }
        };
        let moved = ridge(&moved(&bank), &moved(&queries)).expect("usable");
        assert_eq!((moved.top1, moved.top5), (plain.top1, plain.top5));
    }

    #[test]
    fn collapsed_features_give_the_most_frequent_class() {
        let values = Tensor::ones([4, 3], &DeviceSpec::Flex.open().expect("flex is compiled in"));
        let bank = Features { values, labels: Some(vec![0, 7, 7, 2]) };
        let found = ridge(&bank, &labelled(&bank, vec![7, 0, 7, 2])).expect("usable");
        assert_eq!((found.top1, found.top5, found.shrinkage), (0.5, 1.0, 1.0));
    }

    #[test]
    fn labels_may_be_any_numbers_and_a_class_without_a_bank_is_never_found() {
        let (bank, queries) = (clouds(60, 6, 2.0, 1), clouds(30, 6, 2.0, 2));
        let renamed = |features: &Features, names: [i64; 3]| {
            let labels = features.labels.iter().flatten().map(|&label| names[label as usize]).collect();
            labelled(features, labels)
        };
        let names = [1 << 40, -3, 5];
        let top1 = |queries| ridge(&renamed(&bank, names), &queries).expect("usable").top1;
        assert_eq!(top1(renamed(&queries, names)), 1.0);
        assert!((top1(renamed(&queries, [1 << 40, -3, 6])) - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn missing_labels_and_bad_features_are_named() {
        let good = clouds(9, 4, 1.0, 1);
        let bare = Features { labels: None, ..good.clone() };
        let broken = Features { values: good.values.clone() * f32::NAN, ..good.clone() };
        let error = |bank, queries| ridge(bank, queries).expect_err("unusable").to_string();
        assert!(error(&bare, &good).starts_with("the bank images have no labels"));
        assert!(error(&good, &bare).starts_with("the test images have no labels"));
        assert!(error(&broken, &good).contains("the bank images are not all finite"));
        assert!(error(&good, &broken).contains("the test images are not all finite"));
    }
}
