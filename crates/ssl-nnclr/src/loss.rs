//! The loss of NNCLR.

use burn::tensor::Tensor;
use ssl_core::loss::{Similarities, info_nce};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Cross entropy of identifying, among the predictions of the batch, the one whose image has this neighbour, in both
/// directions.
///
/// ```text
/// ℓ(n, p) = mean over i of −log( exp(⟨n_i, p_i⟩ / T) / Σ_j exp(⟨n_i, p_j⟩ / T) )
/// L       = ½ ( ℓ(n1, p2) + ℓ(n2, p1) )
/// ```
///
/// The similarities of all pairs are computed one block of rows at a time, see [`Similarities`].
///
/// # Shapes
/// - `n1`, `n2`: neighbours of the embeddings of the two views, `[batch, dim]`, normalised here and used without gradient
/// - `p1`, `p2`: predictions from the two views, `[batch, dim]`, normalised here
/// - returns: `[1]`, in nats; `log(batch)` when all predictions are equal
///
/// # Panics
/// If the shapes differ.
///
/// # Source
/// Dwibedi et al. 2021, eq. 3 and the symmetric loss below it, <https://arxiv.org/abs/2104.14548>; the mean of both
/// directions is solo-learn's and lightly's.
pub fn nnclr(n1: Tensor<2>, n2: Tensor<2>, p1: Tensor<2>, p2: Tensor<2>, temperature: f64) -> Tensor<1> {
    (contrast(n1, p2, temperature) + contrast(n2, p1, temperature)).div_scalar(2.0)
}

/// `ℓ` of [`nnclr`].
fn contrast(n: Tensor<2>, p: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, dim] = n.dims();
    assert_shape!(p, [batch, dim]);
    let (n, p) = (l2_normalize(n.detach(), NORMALIZE_EPS), l2_normalize(p, NORMALIZE_EPS));
    let positive = (n.clone() * p.clone()).sum_dim(1);
    info_nce(positive, &Similarities::new(n, p, temperature).without_own())
}

/// [`nnclr`] with its temperature.
#[derive(Clone, Copy, Debug)]
pub struct NnClrLoss {
    temperature: f64,
}

/// Neighbours of the embeddings, and predictions.
#[derive(Clone, Debug)]
pub struct NnClrInput {
    /// Neighbours of the embeddings of the first view, `[batch, dim]`.
    pub n1: Tensor<2>,
    /// Neighbours of the embeddings of the second view, `[batch, dim]`.
    pub n2: Tensor<2>,
    /// Predictions from the first view, `[batch, dim]`.
    pub p1: Tensor<2>,
    /// Predictions from the second view, `[batch, dim]`.
    pub p2: Tensor<2>,
}

impl NnClrLoss {
    /// Creates the loss at a temperature.
    pub fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for NnClrLoss {
    type Input = NnClrInput;

    fn forward(&self, input: NnClrInput) -> Tensor<1> {
        nnclr(input.n1, input.n2, input.p1, input.p2, self.temperature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_testing::oracle::rows;
    use ssl_testing::tensors::{device, of_rows};

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn predictions_that_are_all_equal_cost_the_log_of_the_batch() {
        // Without the predictions of other images, collapsed ones would cost nothing.
        let (n, p) = (of_rows(&rows(5, 3, 1)), Tensor::<2>::ones([5, 3], &device()));
        let loss = value(nnclr(n.clone(), n, p.clone(), p, 0.1));
        assert!((loss - 5.0_f32.ln()).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn a_neighbour_is_held_against_the_prediction_from_the_other_view() {
        // At right angles, predictions of the own view would cost little.
        let [forth, back] = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]];
        let [forth, back] = [forth, back].map(|rows| Tensor::<2>::from_floats(rows, &device()));
        let loss = value(nnclr(forth.clone(), back.clone(), forth.clone(), back.clone(), 0.1));
        assert!((loss - 10.0).abs() < 1e-3, "{loss}");
        assert!(value(nnclr(forth.clone(), back.clone(), back, forth, 0.1)) < 1e-3);
    }

    #[test]
    fn neighbours_get_no_gradient_and_predictions_do() {
        let [n1, n2, p1, p2] = [1, 2, 3, 4].map(|seed| of_rows(&rows(4, 3, seed)));
        let gradients = nnclr(n1.clone(), n2.clone(), p1.clone(), p2.clone(), 0.2).backward();
        assert!(n1.grad(&gradients).is_none() && n2.grad(&gradients).is_none());
        assert!(p1.grad(&gradients).is_some() && p2.grad(&gradients).is_some());
    }
}
