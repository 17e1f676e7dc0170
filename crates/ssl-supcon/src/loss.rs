//! The loss of SupCon.

use burn::tensor::{Int, Tensor, activation::log_softmax};
use ssl_core::Loss;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};

/// Added to the similarity of an anchor to itself, which is no candidate. Far below any similarity of unit vectors
/// and exact in float32, where minus infinity would make the backward pass multiply 0 by infinity.
const SELF_SIMILARITY: f64 = -1e9;

/// Supervised contrastive loss: every anchor picks the others of its class among all others.
///
/// ```text
/// ℓ(i) = −(T / T_base) · mean over p in P(i) of log( exp(⟨z_i, z_p⟩ / T) / Σ_{a ≠ i} exp(⟨z_i, z_a⟩ / T) )
/// L    = mean over all batch·view anchors i
/// ```
///
/// `P(i)` are the other embeddings of the class of `i`, another view of its own image among them. An anchor that is
/// the only one of its class costs nothing. Without labels every image is its own class, and the loss of two views is
/// NT-Xent times `T / T_base`.
///
/// # Shapes
/// - `z`: `[batch, view, dim]`, normalised here
/// - `labels`: `[batch]`
/// - returns: `[1]`, in nats times `T / T_base`; that factor times `log(batch·view − 1)` when all embeddings are equal
///   and every anchor has a positive
///
/// # Panics
/// If there are more or fewer labels than images.
///
/// # Source
/// Khosla et al. 2020, eq. 2 (`L_out`), <https://arxiv.org/abs/2004.11362>; the factor from the authors' `losses.py`,
/// which divides by zero where an anchor has no positive.
pub fn sup_con(
    z: Tensor<3>,
    labels: Option<Tensor<1, Int>>,
    temperature: f64,
    base_temperature: f64,
) -> Tensor<1> {
    let [batch, views, dim] = z.dims();
    let (anchors, device) = (views * batch, z.device().inner());
    let labels = labels.unwrap_or_else(|| Tensor::arange(0..batch as i64, &device));
    assert_eq!(labels.dims(), [batch], "SupCon: one label per image");

    // View by view, as the labels are repeated.
    let z = l2_normalize(z.swap_dims(0, 1).reshape([anchors, dim]), NORMALIZE_EPS);
    let own = Tensor::<2>::eye(anchors, &device);
    let similarity = z.clone().matmul(z.transpose()) + own.clone().mul_scalar(SELF_SIMILARITY);
    let log_probability = log_softmax(similarity.div_scalar(temperature), 1);

    let positives = same_class(labels.repeat(&[views])) - own;
    let weight = positives.clone() / positives.sum_dim(1).clamp_min(1.0);
    (weight * log_probability).sum_dim(1).mean().mul_scalar(-temperature / base_temperature)
}

/// 1 where two labels are equal and 0 elsewhere, `[label, label]`.
fn same_class(labels: Tensor<1, Int>) -> Tensor<2> {
    let [count] = labels.dims();
    let column = labels.clone().reshape([count, 1]).expand([count, count]);
    let row = labels.reshape([1, count]).expand([count, count]);
    column.equal(row).float()
}

/// [`sup_con`] with its temperatures.
#[derive(Clone, Copy, Debug)]
pub struct SupConLoss {
    temperature: f64,
    base_temperature: f64,
}

/// Embeddings of all views, and the classes of the images.
#[derive(Clone, Debug)]
pub struct SupConInput {
    /// `[batch, view, dim]`
    pub z: Tensor<3>,
    /// `[batch]`; without them every image is its own class.
    pub labels: Option<Tensor<1, Int>>,
}

impl SupConLoss {
    /// The loss at a temperature, multiplied by `temperature / base_temperature`.
    pub fn new(temperature: f64, base_temperature: f64) -> Self {
        Self { temperature, base_temperature }
    }
}

impl Loss for SupConLoss {
    type Input = SupConInput;

    fn forward(&self, input: SupConInput) -> Tensor<1> {
        sup_con(input.z, input.labels, self.temperature, self.base_temperature)
    }
}
