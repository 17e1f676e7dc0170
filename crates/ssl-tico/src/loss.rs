//! The loss of TiCo.

use burn::tensor::Tensor;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Embeddings agree with a teacher's, and avoid the directions that embeddings have taken lately.
///
/// ```text
/// L = 1 − mean over i of ⟨a_i, b_i⟩  +  ρ · mean over i of ⟨a_i, C · a_i⟩        a = z1, b = z2, of unit length
/// ```
///
/// # Shapes
/// - `z1`: embeddings of one view by the student, `[batch, dim]`, normalised here
/// - `z2`: embeddings of the other view by the teacher, `[batch, dim]`, normalised here and used without gradient
/// - `covariance`: `C` with this batch in it, see [`next_covariance`], `[dim, dim]`, used without gradient
/// - returns: `[1]`
///
/// # Panics
/// If the shapes differ, or the batch has fewer than two images, whose covariance would be that of one direction.
///
/// # Source
/// Zhu et al. 2022, <https://arxiv.org/abs/2206.10698>; there is no official code.
pub fn tico(z1: Tensor<2>, z2: Tensor<2>, covariance: Tensor<2>, rho: f64) -> Tensor<1> {
    let [batch, dim] = z1.dims();
    assert_shape!(z2, [batch, dim]);
    assert_shape!(covariance, [dim, dim]);
    assert!(batch > 1, "TiCo: a batch of {batch} has no covariance, expected at least 2 images");
    let (a, b) = (l2_normalize(z1, NORMALIZE_EPS), l2_normalize(z2.detach(), NORMALIZE_EPS));
    let agreement = (a.clone() * b).sum_dim(1).mean();
    let overlap = (a.clone().matmul(covariance.detach()) * a).sum_dim(1).mean();
    agreement.neg().add_scalar(1.0) + overlap.mul_scalar(rho)
}

/// The moving average of the covariance with a batch in it, without gradient.
///
/// ```text
/// β · C + (1 − β) · aᵀ · a / batch        a = z1, of unit length
/// ```
///
/// # Shapes
/// - `covariance`: `C`, `[dim, dim]`; `z1`: `[batch, dim]`, normalised here
/// - returns: `[dim, dim]`
pub fn next_covariance(covariance: Tensor<2>, z1: Tensor<2>, beta: f64) -> Tensor<2> {
    let [batch, _] = z1.dims();
    let a = l2_normalize(z1.without_autodiff(), NORMALIZE_EPS);
    let of_batch = a.clone().transpose().matmul(a).div_scalar(batch as f64);
    covariance.without_autodiff().mul_scalar(beta) + of_batch.mul_scalar(1.0 - beta)
}

/// [`tico`] with its weight.
#[derive(Clone, Copy, Debug)]
pub struct TiCoLoss {
    rho: f64,
}

/// The embeddings of the two views, and the covariance.
#[derive(Clone, Debug)]
pub struct TiCoInput {
    /// Embeddings of one view by the student, `[batch, dim]`.
    pub z1: Tensor<2>,
    /// Embeddings of the other view by the teacher, `[batch, dim]`.
    pub z2: Tensor<2>,
    /// The moving average with this batch in it, `[dim, dim]`.
    pub covariance: Tensor<2>,
}

impl TiCoLoss {
    /// Creates the loss with `ρ`, the weight of the covariance term.
    pub fn new(rho: f64) -> Self {
        Self { rho }
    }
}

impl Loss for TiCoLoss {
    type Input = TiCoInput;

    fn forward(&self, input: TiCoInput) -> Tensor<1> {
        tico(input.z1, input.z2, input.covariance, self.rho)
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

    fn zeros() -> Tensor<2> {
        Tensor::zeros([4, 4], &device())
    }

    #[test]
    fn embeddings_that_agree_and_spread_evenly_cost_the_covariance_weight_by_dimension() {
        let spread = Tensor::<2>::eye(4, &device()).mul_scalar(3.0);
        let covariance = next_covariance(zeros(), spread.clone(), 0.0);
        assert!((value(tico(spread.clone(), spread, covariance, 8.0)) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn collapsed_embeddings_cost_the_covariance_weight() {
        // Without the covariance, they would cost nothing.
        let constant = Tensor::<2>::ones([5, 4], &device());
        let covariance = next_covariance(zeros(), constant.clone(), 0.0);
        assert!(
            (value(tico(constant.clone(), constant.clone(), covariance.clone(), 8.0)) - 8.0).abs() < 1e-4
        );
        assert!(value(tico(constant.clone(), constant, covariance, 0.0)).abs() < 1e-5);
    }

    #[test]
    fn the_covariance_is_a_moving_average_of_trace_one() {
        let trace =
            |covariance: Tensor<2>| (covariance * Tensor::eye(4, &device())).sum().into_scalar::<f32>();
        let first = next_covariance(zeros(), of_rows(&rows(6, 4, 1)), 0.9);
        assert!((trace(first.clone()) - 0.1).abs() < 1e-6);
        let second = next_covariance(first, of_rows(&rows(6, 4, 2)), 0.9);
        assert!((trace(second) - 0.19).abs() < 1e-6);
    }

    #[test]
    fn teacher_and_covariance_get_no_gradient_and_the_student_does() {
        let [z1, z2, covariance] = [1, 2, 3].map(|seed| of_rows(&rows(4, 4, seed)));
        let gradients = tico(z1.clone(), z2.clone(), covariance.clone(), 8.0).backward();
        assert!(z1.grad(&gradients).is_some());
        assert!(z2.grad(&gradients).is_none() && covariance.grad(&gradients).is_none());
        assert!(!next_covariance(covariance, z1, 0.9).is_autodiff());
    }

    #[test]
    #[should_panic(expected = "a batch of 1 has no covariance, expected at least 2 images")]
    fn a_batch_of_one_is_refused() {
        let z = Tensor::<2>::ones([1, 4], &device());
        tico(z.clone(), z, zeros(), 8.0);
    }
}
