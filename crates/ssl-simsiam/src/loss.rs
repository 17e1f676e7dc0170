//! The loss of SimSiam.

use burn::tensor::Tensor;
use ssl_core::Loss;
use ssl_core::loss::negative_cosine;

/// Smallest norm that a cosine divides by: the default of `torch.nn.CosineSimilarity`, which the official code uses.
const COSINE_EPS: f64 = 1e-8;

/// Negative cosine between the predictions from one view and the embeddings of the other, in both directions.
///
/// ```text
/// L = −½ · mean over the batch of cos(p1, z2)  −  ½ · mean over the batch of cos(p2, z1)
/// ```
///
/// # Shapes
/// - `p1`, `p2`: predictions from the two views, `[batch, dim]`
/// - `z1`, `z2`: embeddings of the two views, `[batch, dim]`, used without gradient
/// - returns: `[1]`, from −1 (all pairs point the same way) to 1
///
/// # Panics
/// If the shapes differ.
///
/// # Source
/// Chen & He 2021, eq. 1 to 4 and algorithm 1, <https://arxiv.org/abs/2011.10566>.
pub fn simsiam(p1: Tensor<2>, p2: Tensor<2>, z1: Tensor<2>, z2: Tensor<2>) -> Tensor<1> {
    (negative_cosine(p1, z2, COSINE_EPS) + negative_cosine(p2, z1, COSINE_EPS)).mul_scalar(0.5)
}

/// [`simsiam`] as a [`Loss`](ssl_core::Loss).
#[derive(Clone, Copy, Debug)]
pub struct SimSiamLoss;

/// Predictions and embeddings of the two views.
#[derive(Clone, Debug)]
pub struct SimSiamInput {
    /// Predictions from the first view, `[batch, dim]`.
    pub p1: Tensor<2>,
    /// Predictions from the second view, `[batch, dim]`.
    pub p2: Tensor<2>,
    /// Embeddings of the first view, `[batch, dim]`.
    pub z1: Tensor<2>,
    /// Embeddings of the second view, `[batch, dim]`.
    pub z2: Tensor<2>,
}

impl Loss for SimSiamLoss {
    type Input = SimSiamInput;

    fn forward(&self, input: SimSiamInput) -> Tensor<1> {
        simsiam(input.p1, input.p2, input.z1, input.z2)
    }
}
