//! The loss of BYOL.

use burn::tensor::Tensor;
use ssl_core::Loss;
use ssl_core::loss::negative_cosine;
use ssl_core::math::NORMALIZE_EPS;

/// Squared distance between the predictions from one view and the embeddings of the other, all of unit length.
///
/// ```text
/// L = mean over the batch of ‖p1 − z2‖²  +  mean over the batch of ‖p2 − z1‖²,    ‖p − z‖² = 2 − 2·cos(p, z)
/// ```
///
/// # Shapes
/// - `p1`, `p2`: predictions of the student from the two views, `[batch, dim]`, normalised here
/// - `z1`, `z2`: embeddings of the two views by the teacher, `[batch, dim]`, normalised here and used without gradient
/// - returns: `[1]`, from 0 (all pairs point the same way) to 8
///
/// # Panics
/// If the shapes differ.
///
/// # Source
/// Grill et al. 2020, eq. 2 and the symmetric loss below it, <https://arxiv.org/abs/2006.07733>.
pub fn byol(p1: Tensor<2>, p2: Tensor<2>, z1: Tensor<2>, z2: Tensor<2>) -> Tensor<1> {
    squared_distance(p1, z2) + squared_distance(p2, z1)
}

fn squared_distance(p: Tensor<2>, z: Tensor<2>) -> Tensor<1> {
    negative_cosine(p, z, NORMALIZE_EPS).mul_scalar(2.0).add_scalar(2.0)
}

/// [`byol`] as a [`Loss`](ssl_core::Loss).
#[derive(Clone, Copy, Debug)]
pub struct ByolLoss;

/// Predictions by the student and embeddings by the teacher.
#[derive(Clone, Debug)]
pub struct ByolInput {
    /// Predictions from the first view by the student, `[batch, dim]`.
    pub p1: Tensor<2>,
    /// Predictions from the second view by the student, `[batch, dim]`.
    pub p2: Tensor<2>,
    /// Embeddings of the first view by the teacher, `[batch, dim]`.
    pub z1: Tensor<2>,
    /// Embeddings of the second view by the teacher, `[batch, dim]`.
    pub z2: Tensor<2>,
}

impl Loss for ByolLoss {
    type Input = ByolInput;

    fn forward(&self, input: ByolInput) -> Tensor<1> {
        byol(input.p1, input.p2, input.z1, input.z2)
    }
}
