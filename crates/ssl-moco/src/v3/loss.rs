//! The loss of MoCo v3.

use burn::tensor::Tensor;
use ssl_core::loss::{Similarities, info_nce};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Cross entropy of identifying the key of the same image among the keys of the batch, in both directions.
///
/// ```text
/// ctr(q, k) = 2·T · mean over i of −log( exp(⟨q_i, k_i⟩ / T) / Σ_j exp(⟨q_i, k_j⟩ / T) )
/// L         = ctr(q1, k2) + ctr(q2, k1)
/// ```
///
/// The factor 2·T makes the gradient scale nearly independent of the temperature.
///
/// # Shapes
/// - `q1`, `q2`: predictions of the student from the two views, `[batch, dim]`, normalised here
/// - `k1`, `k2`: embeddings of the two views by the teacher, `[batch, dim]`, normalised here and used without gradient
/// - returns: `[1]`; `4·T·log(batch)` when all embeddings are equal
///
/// # Panics
/// If the shapes differ.
///
/// # Source
/// Chen et al. 2021, eq. 1 and algorithm 1, <https://arxiv.org/abs/2104.02057>; the factor is from the algorithm.
pub fn moco_v3(q1: Tensor<2>, q2: Tensor<2>, k1: Tensor<2>, k2: Tensor<2>, temperature: f64) -> Tensor<1> {
    contrast(q1, k2, temperature) + contrast(q2, k1, temperature)
}

/// `ctr` of [`moco_v3`].
fn contrast(q: Tensor<2>, k: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, dim] = q.dims();
    assert_shape!(k, [batch, dim]);
    let (q, k) = (l2_normalize(q, NORMALIZE_EPS), l2_normalize(k.detach(), NORMALIZE_EPS));
    let positive = (q.clone() * k.clone()).sum_dim(1);
    let loss = info_nce(positive, &Similarities::new(q, k, temperature).without_own());
    loss.mul_scalar(2.0 * temperature)
}

/// [`moco_v3`] with its temperature.
#[derive(Clone, Copy, Debug)]
pub struct MoCoV3Loss {
    temperature: f64,
}

/// Predictions by the student and embeddings by the teacher.
#[derive(Clone, Debug)]
pub struct MoCoV3Input {
    /// Predictions from the first view by the student, `[batch, dim]`.
    pub q1: Tensor<2>,
    /// Predictions from the second view by the student, `[batch, dim]`.
    pub q2: Tensor<2>,
    /// Embeddings of the first view by the teacher, `[batch, dim]`.
    pub k1: Tensor<2>,
    /// Embeddings of the second view by the teacher, `[batch, dim]`.
    pub k2: Tensor<2>,
}

impl MoCoV3Loss {
    /// Creates the loss at a temperature.
    pub fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for MoCoV3Loss {
    type Input = MoCoV3Input;

    fn forward(&self, input: MoCoV3Input) -> Tensor<1> {
        moco_v3(input.q1, input.q2, input.k1, input.k2, self.temperature)
    }
}
