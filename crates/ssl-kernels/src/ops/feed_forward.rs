//! The feed-forward half of a transformer's block.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::{any_rank::AnyRank, host::host_of};
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
    onto(None, tokens, weights)
}

/// The same network on a shortcut from elsewhere, as in ConvNeXt, where the shortcut starts before a convolution.
///
/// ```text
/// y = shortcut + gelu(norm(x) weight1ᵀ + bias1) weight2ᵀ + bias2
/// ```
///
/// # Shapes
/// - `shortcut`, `tokens`: `[..., dim]`
/// - returns: the same
pub fn feed_forward_onto<const D: usize>(
    shortcut: Tensor<D>,
    tokens: Tensor<D>,
    weights: FeedForwardWeights,
) -> Tensor<D> {
    assert_eq!(shortcut.dims(), tokens.dims(), "feed-forward: shapes of the shortcut and of the tokens");
    onto(Some(shortcut), tokens, weights)
}

/// Onto a shortcut, or the tokens themselves.
fn onto<const D: usize>(
    shortcut: Option<Tensor<D>>,
    tokens: Tensor<D>,
    weights: FeedForwardWeights,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    {
        let (w, onto) = (&weights, shortcut.as_ref().unwrap_or(&tokens));
        let host =
            host_of!((*onto), tokens, w.norm_weight, w.norm_bias, w.weight1, w.bias1, w.weight2, w.bias2);
        if let Some(host) = host {
            return host.feed_forward(shortcut.map(AnyRank::from), tokens.into(), weights).ranked();
        }
    }
    portable(shortcut, tokens, weights)
}

/// The portable version, with the operations that it consists of.
fn portable<const D: usize>(
    shortcut: Option<Tensor<D>>,
    tokens: Tensor<D>,
    weights: FeedForwardWeights,
) -> Tensor<D> {
    let FeedForwardWeights { norm_weight, norm_bias, eps, weight1, bias1, weight2, bias2 } = weights;
    let normalised = layer_norm(tokens.clone(), norm_weight, norm_bias, eps);
    shortcut.unwrap_or(tokens) + linear(linear_gelu(normalised, weight1, Some(bias1)), weight2, Some(bias2))
}
