//! The attention half of a transformer's block.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;
use super::{attention, layer_norm, linear, linear_onto};

/// The smallest batch of which the loops of CPUs take some images at a time through the whole half; with fewer, threads would be
/// idle.
#[cfg(any(feature = "flex", feature = "tch"))]
const IMAGES: usize = 8;

/// Parameters of [`attention_half`].
#[derive(Clone, Debug)]
pub struct AttentionWeights {
    /// Weight of the layer norm, `[dim]`.
    pub norm_weight: Tensor<1>,
    /// Bias of the layer norm, `[dim]`.
    pub norm_bias: Tensor<1>,
    /// Added to the variance of the layer norm.
    pub eps: f64,
    /// Number of heads, which divides `dim`.
    pub heads: usize,
    /// Weight of the layer that makes queries, keys and values, `[3 · dim, dim]`.
    pub qkv_weight: Tensor<2>,
    /// Its bias, `[3 · dim]`.
    pub qkv_bias: Tensor<1>,
    /// Weight of the projection, `[dim, dim]`.
    pub proj_weight: Tensor<2>,
    /// Its bias, `[dim]`.
    pub proj_bias: Tensor<1>,
}

/// Pre-norm self-attention with its shortcut.
///
/// ```text
/// y = x + attention(norm(x) qkv_weightᵀ + qkv_bias) proj_weightᵀ + proj_bias
/// ```
///
/// On `flex`, and in float32 on `tch`, some images of a larger batch pass through all of it before the next ones do, so that what is
/// between the layers stays in a cache. Queries, keys, values and the output of [`attention`] are kept for the backward pass.
///
/// # Shapes
/// - `tokens`: `[batch, token, dim]`
/// - returns: the same
pub fn attention_half(tokens: Tensor<3>, weights: AttentionWeights) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    {
        let w = &weights;
        let host = host_of!(
            tokens,
            w.norm_weight,
            w.norm_bias,
            w.qkv_weight,
            w.qkv_bias,
            w.proj_weight,
            w.proj_bias
        );
        let [images, count, _] = tokens.dims();
        if let Some(host) = host.filter(|_| images >= IMAGES && count > 0) {
            return host.attention_half(tokens, weights);
        }
    }
    portable(tokens, weights)
}

/// The portable version, with the operations that it consists of.
pub(super) fn portable(tokens: Tensor<3>, weights: AttentionWeights) -> Tensor<3> {
    let AttentionWeights { norm_weight, norm_bias, eps, heads, qkv_weight, qkv_bias, proj_weight, proj_bias } =
        weights;
    let normalised = layer_norm(tokens.clone(), norm_weight, norm_bias, eps);
    let seen = attention(linear(normalised, qkv_weight, Some(qkv_bias)), heads);
    linear_onto(tokens, seen, proj_weight, Some(proj_bias))
}
