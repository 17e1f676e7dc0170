//! The feed-forward half of a transformer's block.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::choice::loops_serve;
use super::{layer_norm, linear, linear_gelu};

/// Parameters of [`feed_forward`].
#[derive(Clone, Debug)]
pub struct FeedForwardWeights {
    /// Weight of the layer norm, `[dim]`.
    pub norm_weight: Tensor<1>,
    /// Bias of the layer norm, `[dim]`.
    pub norm_bias: Tensor<1>,
    /// Added to the variance of the layer norm.
    pub eps: f64,
    /// Weight of the first linear layer, `[hidden, dim]`.
    pub weight1: Tensor<2>,
    /// Bias of the first linear layer, `[hidden]`.
    pub bias1: Tensor<1>,
    /// Weight of the second linear layer, `[dim, hidden]`.
    pub weight2: Tensor<2>,
    /// Bias of the second linear layer, `[dim]`.
    pub bias2: Tensor<1>,
}

/// A pre-norm feed-forward network with its shortcut, on every token separately.
///
/// ```text
/// y = x + gelu(norm(x) weight1ᵀ + bias1) weight2ᵀ + bias2
/// ```
///
/// On `flex`, and in float32 on `tch`, some tokens pass through all of it before the next ones do, so that what is between
/// the layers stays in a cache. Only the argument of GELU is kept for the backward pass.
///
/// # Shapes
/// - `tokens`: `[..., dim]`
/// - returns: the same
pub fn feed_forward<const D: usize>(tokens: Tensor<D>, weights: FeedForwardWeights) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    let w = &weights;
    #[cfg(feature = "flex")]
    if loops_serve!(flex, tokens, w.norm_weight, w.norm_bias, w.weight1, w.bias1, w.weight2, w.bias2) {
        return super::cpu::feed_forward::<super::flex::Flex, D>(tokens, weights);
    }
    #[cfg(feature = "tch")]
    if loops_serve!(libtorch, tokens, w.norm_weight, w.norm_bias, w.weight1, w.bias1, w.weight2, w.bias2) {
        return super::cpu::feed_forward::<super::libtorch::Backend, D>(tokens, weights);
    }
    portable(tokens, weights)
}

/// The portable version, with the operations that it consists of.
pub(super) fn portable<const D: usize>(tokens: Tensor<D>, weights: FeedForwardWeights) -> Tensor<D> {
    let FeedForwardWeights { norm_weight, norm_bias, eps, weight1, bias1, weight2, bias2 } = weights;
    let normalised = layer_norm(tokens.clone(), norm_weight, norm_bias, eps);
    tokens + linear(linear_gelu(normalised, weight1, Some(bias1)), weight2, Some(bias2))
}
