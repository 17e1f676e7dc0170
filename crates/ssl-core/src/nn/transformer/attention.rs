//! Self-attention.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_kernels::ops::{AttentionInput, AttentionWeights, attend, attention, first_attention};

use crate::Precision;
use crate::nn::layer_norm::EPS;
use crate::nn::{LayerNorm, Linear};

/// Multi-head self-attention.
///
/// ```text
/// q, k, v = qkv(x), split into heads;   out = proj(softmax(q kᵀ / sqrt(dim / heads)) v)
/// ```
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, keys and values, each of as many outputs as a token is long.
    pub qkv: Linear,
    /// The projection of the heads together.
    pub proj: Linear,
    /// Number of heads, which divides the length of a token.
    pub heads: usize,
}

impl Attention {
    /// The tokens after they have seen each other.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, token, dim]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.proj.forward(self.seen(tokens))
    }

    /// What the tokens have seen of each other, before the projection.
    pub(super) fn seen(&self, tokens: Tensor<3>) -> Tensor<3> {
        attention(self.qkv.forward(tokens), self.heads)
    }

    /// What the first `count` tokens have seen of all, without the work for the others: `[batch, count, dim]`, before the
    /// projection.
    pub(super) fn seen_by_first(&self, tokens: Tensor<3>, count: usize) -> Tensor<3> {
        let [_, _, dim] = tokens.dims();
        let queries = self.qkv.forward_to(0..dim, tokens.clone().slice_dim(1, 0..count));
        let keys_values = self.qkv.forward_to(dim..3 * dim, tokens);
        attend(AttentionInput::apart(queries, keys_values, self.heads))
    }

    /// The parameters of both layers and the norm before them, with the factors of the outputs, if they can be one operation.
    pub(super) fn weights_after(
        &self,
        norm: &LayerNorm,
        factors: Option<Tensor<1>>,
    ) -> Option<AttentionWeights> {
        let Self { qkv, proj, heads } = self;
        let exact = [qkv, proj].iter().all(|layer| layer.precision == Precision::F32);
        let qkv_bias = qkv.bias.as_ref().filter(|_| exact)?.val();
        let (proj_weight, proj_bias) = proj.scaled(factors);
        Some(AttentionWeights {
            norm_weight: norm.weight.val(),
            norm_bias: norm.bias.val(),
            eps: EPS,
            heads: *heads,
            qkv_weight: qkv.weight.val(),
            qkv_bias,
            proj_weight,
            proj_bias: proj_bias?,
        })
    }

    /// The attention weights of the first token over all tokens.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, head, token]`
    pub fn first_weights(&self, tokens: Tensor<3>) -> Tensor<3> {
        first_attention(self.qkv.forward(tokens), self.heads)
    }
}
