//! Self-attention.

use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax};
use ssl_core::nn::Linear;

/// Multi-head self-attention.
///
/// ```text
/// q, k, v = qkv(x), split into heads;   out = proj(softmax(q kᵀ / sqrt(dim / heads)) v)
/// ```
///
/// Written as plain products: Burn's fused attention has no backward pass of its own, and its mask means something else
/// on libtorch.
#[derive(Module, Debug)]
pub(super) struct Attention {
    pub(super) qkv: Linear,
    pub(super) proj: Linear,
    pub(super) heads: usize,
}

impl Attention {
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, token, dim]`
    pub(super) fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [batch, length, dim] = tokens.dims();
        let [q, k, v] = self.query_key_value(tokens);
        self.proj.forward(weights(q, k).matmul(v).swap_dims(1, 2).reshape([batch, length, dim]))
    }

    /// The attention weights of the first token over all tokens.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, head, token]`
    pub(super) fn first_weights(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [q, k, _] = self.query_key_value(tokens);
        weights(q.slice_dim(2, 0..1), k).squeeze_dim(2)
    }

    /// `[batch, head, token, dim / heads]` each.
    fn query_key_value(&self, tokens: Tensor<3>) -> [Tensor<4>; 3] {
        let [batch, length, dim] = tokens.dims();
        let head_dim = dim / self.heads;
        let qkv = self.qkv.forward(tokens).reshape([batch, length, 3, self.heads, head_dim]);
        let qkv = qkv.permute([2, 0, 3, 1, 4]);
        [0, 1, 2].map(|index| qkv.clone().slice_dim(0, index..index + 1).squeeze_dim(0))
    }
}

/// `softmax(q kᵀ / sqrt(head_dim))`, `[batch, head, query, key]`.
fn weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let [_, _, _, head_dim] = q.dims();
    let scale = 1.0 / (head_dim as f64).sqrt();
    softmax(q.mul_scalar(scale).matmul(k.swap_dims(2, 3)), 3)
}
