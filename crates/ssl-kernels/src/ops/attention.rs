//! Multi-head self-attention.

use burn::tensor::{Tensor, activation::softmax};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// Attention of every token to all tokens of its image.
///
/// ```text
/// out = softmax(q kᵀ / sqrt(head_dim)) v      for each image and head
/// ```
///
/// On `flex`, and in float32 on `tch`, the matrix of all pairs of tokens never exists as a whole: blocks of it are computed
/// with a running maximum, and again in the backward pass. There memory is linear in the number of tokens.
///
/// # Shapes
/// - `qkv`: `[batch, token, 3 · head · head_dim]`: query, key and value of every head, one after another
/// - returns: `[batch, token, head · head_dim]`
///
/// # Panics
/// If the last axis is not a multiple of `3 · heads`.
///
/// # Source
/// Vaswani et al. 2017, equation 1, <https://arxiv.org/abs/1706.03762>; in blocks: Dao et al. 2022,
/// <https://arxiv.org/abs/2205.14135>; layout: timm `vision_transformer.py`.
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [_, _, width] = qkv.dims();
    assert!(width.is_multiple_of(3 * heads), "attention: {width} values of {heads} heads");
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(qkv) {
        return host.attention(qkv, heads);
    }
    portable(qkv, heads)
}

/// The attention weights of the first token.
///
/// # Shapes
/// - `qkv`: as [`attention`]
/// - returns: `[batch, head, token]`, each row with sum 1
pub fn first_attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [q, k, _] = query_key_value(qkv, heads);
    weights(q.slice_dim(2, 0..1), k).squeeze_dim(2)
}

/// The portable version. Burn's own attention has no backward pass of its own, and its mask means something else on
/// libtorch.
pub(super) fn portable(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, length, width] = qkv.dims();
    let [q, k, v] = query_key_value(qkv, heads);
    weights(q, k).matmul(v).swap_dims(1, 2).reshape([batch, length, width / 3])
}

/// `[batch, head, token, head_dim]` each.
fn query_key_value(qkv: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [batch, length, width] = qkv.dims();
    let qkv = qkv.reshape([batch, length, 3, heads, width / 3 / heads]).permute([2, 0, 3, 1, 4]);
    [0, 1, 2].map(|index| qkv.clone().slice_dim(0, index..index + 1).squeeze_dim(0))
}

/// `softmax(q kᵀ / sqrt(head_dim))`, `[batch, head, query, key]`.
fn weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let [_, _, _, head_dim] = q.dims();
    let scale = 1.0 / (head_dim as f64).sqrt();
    softmax(q.mul_scalar(scale).matmul(k.swap_dims(2, 3)), 3)
}
