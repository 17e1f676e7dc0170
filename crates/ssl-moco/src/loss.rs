//! The loss of MoCo v1 and v2.

use burn::tensor::Tensor;
use ssl_core::loss::{Similarities, info_nce};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Cross entropy of identifying the key of the same image among the keys in a queue.
///
/// ```text
/// L = mean over the batch of −log( exp(⟨q, k⟩ / T) / (exp(⟨q, k⟩ / T) + Σ_j exp(⟨q, queue_j⟩ / T)) )
/// ```
///
/// # Shapes
/// - `q`, `k`: `[batch, dim]`, normalised here; no gradient flows into `k`
/// - `queue`: `[len, dim]`, used as given and without gradient: its rows are keys, already of unit length
/// - returns: `[1]`, in nats; `log(1 + len)` when all embeddings are equal
///
/// # Panics
/// If `q` and `k` differ in shape.
///
/// # Source
/// He et al. 2020, eq. 1 and algorithm 1, <https://arxiv.org/abs/1911.05722>.
pub fn moco(q: Tensor<2>, k: Tensor<2>, queue: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, dim] = q.dims();
    assert_shape!(k, [batch, dim]);
    let (q, k) = (l2_normalize(q, NORMALIZE_EPS), l2_normalize(k.detach(), NORMALIZE_EPS));
    let positive = (q.clone() * k).sum_dim(1);
    info_nce(positive, &Similarities::new(q, queue.detach(), temperature))
}

/// [`moco`] with its temperature.
#[derive(Clone, Copy, Debug)]
pub struct MoCoLoss {
    temperature: f64,
}

/// Embeddings of one view by the student, of the other view by the teacher, and of other images.
#[derive(Clone, Debug)]
pub struct MoCoInput {
    /// The student's embeddings, `[batch, dim]`.
    pub q: Tensor<2>,
    /// The teacher's embeddings, `[batch, dim]`.
    pub k: Tensor<2>,
    /// The teacher's embeddings of other images, `[len, dim]`.
    pub queue: Tensor<2>,
}

impl MoCoLoss {
    /// Creates the loss at a temperature.
    pub fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for MoCoLoss {
    type Input = MoCoInput;

    fn forward(&self, input: MoCoInput) -> Tensor<1> {
        moco(input.q, input.k, input.queue, self.temperature)
    }
}
