//! Self-attention.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::{Linear, attention, first_attention};

/// Multi-head self-attention.
///
/// ```text
/// q, k, v = qkv(x), split into heads;   out = proj(softmax(q kᵀ / sqrt(dim / heads)) v)
/// ```
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
        self.proj.forward(attention(self.qkv.forward(tokens), self.heads))
    }

    /// The attention weights of the first token over all tokens.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, head, token]`
    pub(super) fn first_weights(&self, tokens: Tensor<3>) -> Tensor<3> {
        first_attention(self.qkv.forward(tokens), self.heads)
    }
}
