//! NT-Xent, the loss of SimCLR.

use burn::tensor::Tensor;
use ssl_core::loss::{Similarities, info_nce};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Normalised temperature-scaled cross entropy, the loss of SimCLR.
///
/// ```text
/// ℓ(i) = −log( exp(⟨z_i, z_j(i)⟩ / T) / Σ_{k ≠ i} exp(⟨z_i, z_k⟩ / T) ),   L = mean over all 2·batch anchors
/// ```
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, normalised here
/// - returns: `[1]`, in nats; `log(2·batch − 1)` when all embeddings are equal
///
/// The similarities of all pairs are computed one block of rows at a time, see [`Similarities`].
///
/// # Panics
/// If the two shapes differ.
///
/// # Source
/// Chen et al. 2020, eq. 1 and algorithm 1, <https://arxiv.org/abs/2002.05709>.
/// Differs from the authors' code (`tf2/objective.py`), which returns the sum of both directions: twice this value.
pub fn nt_xent(z1: Tensor<2>, z2: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, dim] = z1.dims();
    assert_shape!(z2, [batch, dim]);
    let (z1, z2) = (l2_normalize(z1, NORMALIZE_EPS), l2_normalize(z2, NORMALIZE_EPS));
    let positive = (z1.clone() * z2.clone()).sum_dim(1);
    let both = Tensor::cat(vec![z1.clone(), z2.clone()], 0);
    // Excludes the anchor's own image: neither itself nor its positive is a candidate; the positive is passed
    // separately.
    let loss_of = |anchors| {
        let negatives = Similarities::new(anchors, both.clone(), temperature).without_own();
        info_nce(positive.clone(), &negatives)
    };
    (loss_of(z1) + loss_of(z2)).div_scalar(2.0)
}

/// [`nt_xent`] with its temperature.
#[derive(Clone, Copy, Debug)]
pub struct NtXentLoss {
    temperature: f64,
}

/// The embeddings of the two views.
#[derive(Clone, Debug)]
pub struct NtXentInput {
    /// `[batch, dim]`
    pub z1: Tensor<2>,
    /// `[batch, dim]`
    pub z2: Tensor<2>,
}

impl NtXentLoss {
    /// Creates the loss at a temperature.
    pub fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for NtXentLoss {
    type Input = NtXentInput;

    fn forward(&self, input: NtXentInput) -> Tensor<1> {
        nt_xent(input.z1, input.z2, self.temperature)
    }
}
