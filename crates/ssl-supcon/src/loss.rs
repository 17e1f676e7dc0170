//! The loss of SupCon.

use std::ops::Range;

use burn::tensor::{Int, Tensor, activation::log_softmax};
use ssl_core::loss::{RowLoss, Similarities};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Supervised contrastive loss: every anchor identifies the embeddings of its own class among all others.
///
/// ```text
/// ℓ(i) = −(T / T_base) · mean over p in P(i) of log( exp(⟨z_i, z_p⟩ / T) / Σ_{a ≠ i} exp(⟨z_i, z_a⟩ / T) )
/// L    = mean over all batch·view anchors i
/// ```
///
/// `P(i)` are the other embeddings of the class of `i`, including other views of the same image. An anchor without
/// positives costs nothing. Without labels, every image is its own class, and the loss of two views is NT-Xent times `T
/// / T_base`. The similarities of all pairs are computed one block of rows at a time, see [`Similarities`].
///
/// # Shapes
/// - `z`: `[batch, view, dim]`, normalised here
/// - `labels`: `[batch]`
/// - returns: `[1]`, in nats times `T / T_base`; that factor times `log(batch·view − 1)` when all embeddings are equal
///   and every anchor has a positive
///
/// # Panics
/// If the number of labels differs from the number of images.
///
/// # Source
/// Khosla et al. 2020, eq. 2 (`L_out`), <https://arxiv.org/abs/2004.11362>; the factor is from the authors'
/// `losses.py`, which divides by zero if an anchor has no positive.
pub fn sup_con(
    z: Tensor<3>,
    labels: Option<Tensor<1, Int>>,
    temperature: f64,
    base_temperature: f64,
) -> Tensor<1> {
    let [batch, views, dim] = z.dims();
    let (anchors, device) = (views * batch, z.device().inner());
    let labels = labels.unwrap_or_else(|| Tensor::arange(0..batch as i64, &device));
    assert_shape!(labels, [batch]);

    // Ordered view by view, like the repeated labels.
    let z = l2_normalize(z.swap_dims(0, 1).reshape([anchors, dim]), NORMALIZE_EPS);
    let labels = labels.repeat(&[views]).without_autodiff();
    let others = Similarities::new(z.clone(), z, temperature).without_own();
    let loss = others.mean_loss(|rows, logits| pick_positives(positives(&labels, rows), logits));
    loss.mul_scalar(temperature / base_temperature)
}

/// The mean cross entropy of some anchors over their positives; `positives`: `[row, anchor]`, 1 or 0.
fn pick_positives(positives: Tensor<2>, logits: Tensor<2>) -> RowLoss {
    let count = positives.clone().sum_dim(1);
    let targets = positives / count.clone().clamp_min(1.0);
    let log_probability = log_softmax(logits, 1);
    let loss = (targets.clone() * log_probability.clone()).sum_dim(1).neg();
    // The targets of an anchor without positives sum to 0, those of all others to 1.
    let gradient = log_probability.exp() * count.clamp_max(1.0) - targets;
    RowLoss { loss, gradient }
}

/// 1 where an anchor other than the row's own has the same class, 0 elsewhere, `[row, anchor]`.
fn positives(labels: &Tensor<1, Int>, rows: Range<usize>) -> Tensor<2> {
    let ([anchors], count) = (labels.dims(), rows.len());
    let of_rows = labels.clone().narrow(0, rows.start, count).reshape([count, 1]).expand([count, anchors]);
    let of_all = labels.clone().reshape([1, anchors]).expand([count, anchors]);
    let same = of_rows.equal(of_all).float();
    let own = [0..count, rows];
    let others = same.clone().slice(own.clone()) - Tensor::eye(count, &labels.device());
    same.slice_assign(own, others)
}

/// [`sup_con`] with its temperatures.
#[derive(Clone, Copy, Debug)]
pub struct SupConLoss {
    temperature: f64,
    base_temperature: f64,
}

/// The embeddings of all views, and the classes of the images.
#[derive(Clone, Debug)]
pub struct SupConInput {
    /// `[batch, view, dim]`
    pub z: Tensor<3>,
    /// `[batch]`; without them every image is its own class.
    pub labels: Option<Tensor<1, Int>>,
}

impl SupConLoss {
    /// Creates the loss at a temperature, multiplied by `temperature / base_temperature`.
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
