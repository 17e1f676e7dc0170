//! The blocks of a ViT.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::{FeedForwardWeights, Linear, feed_forward};
use ssl_core::{Pass, Precision};

use super::attention::Attention;
use super::drop_path::DropPath;
use super::layer_norm::{EPS, LayerNorm};
use super::layer_scale::LayerScale;

/// A pre-norm transformer block.
///
/// ```text
/// x = x + drop(ls1(attn(norm1(x))));   y = x + drop(ls2(mlp(norm2(x))))
/// ```
#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) norm1: LayerNorm,
    pub(super) attn: Attention,
    pub(super) ls1: Option<LayerScale>,
    pub(super) norm2: LayerNorm,
    pub(super) mlp: FeedForward,
    pub(super) ls2: Option<LayerScale>,
    #[module(skip)]
    pub(super) drop_path: DropPath,
}

impl Block {
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: the same
    pub(super) fn forward(&self, tokens: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let scale = |branch, factors: &Option<LayerScale>| match factors {
            Some(factors) => factors.forward(branch),
            None => branch,
        };
        let branch = scale(self.attn.forward(self.norm1.forward(tokens.clone())), &self.ls1);
        let tokens = tokens + self.drop_path.forward(branch, "drop_path1", pass);
        if self.ls2.is_none() && !self.drop_path.drops(pass) {
            return self.mlp.with_shortcut(tokens, &self.norm2);
        }
        let branch = scale(self.mlp.forward(self.norm2.forward(tokens.clone())), &self.ls2);
        tokens + self.drop_path.forward(branch, "drop_path2", pass)
    }

    /// The attention of the first token to every token.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, head, token]`
    pub(super) fn first_attention(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.attn.first_weights(self.norm1.forward(tokens))
    }
}

/// `fc2(gelu(fc1(x)))`, on each token separately, with the exact GELU `x · Φ(x)`.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    pub(super) fc1: Linear,
    pub(super) fc2: Linear,
}

impl FeedForward {
    fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(self.fc1.forward_gelu(tokens))
    }

    /// `x + mlp(norm(x))`, in one operation where both layers are float32.
    fn with_shortcut(&self, tokens: Tensor<3>, norm: &LayerNorm) -> Tensor<3> {
        let Self { fc1, fc2 } = self;
        let biases = fc1.bias.as_ref().zip(fc2.bias.as_ref());
        let exact = [fc1, fc2].iter().all(|layer| layer.precision == Precision::F32);
        let Some((bias1, bias2)) = biases.filter(|_| exact) else {
            return tokens.clone() + self.forward(norm.forward(tokens));
        };
        let (weight1, weight2) = (fc1.weight.val(), fc2.weight.val());
        let (bias1, bias2) = (bias1.val(), bias2.val());
        let (norm_weight, norm_bias) = norm.parameters();
        let eps = EPS;
        feed_forward(
            tokens,
            FeedForwardWeights { norm_weight, norm_bias, eps, weight1, bias1, weight2, bias2 },
        )
    }
}
