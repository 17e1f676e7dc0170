//! The blocks of a transformer.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Attention, DropPath, LayerScale};
use crate::nn::layer_norm::EPS;
use crate::nn::{
    FeedForwardWeights, LayerNorm, Linear, LinearConfig, attention_half, feed_forward, feed_forward_onto,
};
use crate::{Init, Pass, Precision};

/// A pre-norm transformer block, with timm's parameter names.
///
/// ```text
/// x = x + drop(ls1(attn(norm1(x))));   y = x + drop(ls2(mlp(norm2(x))))
/// ```
///
/// # Source
/// Dosovitskiy et al. 2020, eq. 2 and 3, <https://arxiv.org/abs/2010.11929>; timm `vision_transformer.py`, `Block`.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// The norm before the attention.
    pub norm1: LayerNorm,
    /// The attention.
    pub attn: Attention,
    /// Factors of the attention, if there are any.
    pub ls1: Option<LayerScale>,
    /// The norm before the MLP.
    pub norm2: LayerNorm,
    /// The MLP.
    pub mlp: FeedForward,
    /// Factors of the MLP, if there are any.
    pub ls2: Option<LayerScale>,
    /// How often a branch is dropped in training; never by default.
    #[module(skip)]
    pub drop_path: DropPath,
}

impl TransformerBlock {
    /// Creates a block of these two branches, with neither layer scale nor drop-path.
    pub fn new(attn: Attention, mlp: FeedForward, init: &Init) -> Self {
        let [dim, _] = attn.proj.weight.dims();
        Self {
            norm1: LayerNorm::init(dim, init),
            attn,
            ls1: None,
            norm2: LayerNorm::init(dim, init),
            mlp,
            ls2: None,
            drop_path: DropPath::default(),
        }
    }

    /// Creates a block on tokens of length `dim`, with an MLP of `mlp_ratio` times that width and weights from `linear`.
    ///
    /// # Panics
    /// If the number of heads does not divide `dim`.
    pub fn init(
        dim: usize,
        heads: usize,
        mlp_ratio: usize,
        linear: impl Fn(&LinearConfig, &mut Init) -> Linear,
        init: &mut Init,
    ) -> Self {
        assert!(heads > 0 && dim.is_multiple_of(heads), "{heads} heads cannot share tokens of length {dim}");
        let mut layer = |inputs, outputs| linear(&LinearConfig::new(inputs, outputs), init);
        let attn = Attention { qkv: layer(dim, 3 * dim), proj: layer(dim, dim), heads };
        let mlp = FeedForward { fc1: layer(dim, mlp_ratio * dim), fc2: layer(mlp_ratio * dim, dim) };
        Self::new(attn, mlp, init)
    }

    /// Adds factors to both branches, all starting at `value`.
    pub fn with_layer_scale(self, value: f64, init: &Init) -> Self {
        let [dim, _] = self.attn.proj.weight.dims();
        let scale = || Some(LayerScale::init(dim, value, init));
        Self { ls1: scale(), ls2: scale(), ..self }
    }

    /// Sets how often a branch is dropped in training.
    pub fn with_drop_path(self, drop_path: DropPath) -> Self {
        Self { drop_path, ..self }
    }

    /// The tokens after the block.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: the same
    pub fn forward(&self, tokens: Tensor<3>, pass: &Pass) -> Tensor<3> {
        if !self.drop_path.drops(pass)
            && let Some(weights) = self.attn.weights_after(&self.norm1, factors(&self.ls1))
        {
            let tokens = attention_half(tokens, weights);
            return self.mlp.with_shortcut(tokens, &self.norm2, factors(&self.ls2));
        }
        let seen = self.attn.seen(self.norm1.forward(tokens.clone()));
        self.after_attention(tokens, seen, pass)
    }

    /// The first `count` tokens after the block, as [`forward`](Self::forward) computes them. All others are only seen by these, which
    /// is all that a last block needs whose other tokens nobody reads.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, count, dim]`
    pub fn forward_first(&self, tokens: Tensor<3>, count: usize, pass: &Pass) -> Tensor<3> {
        let seen = self.attn.seen_by_first(self.norm1.forward(tokens.clone()), count);
        self.after_attention(tokens.slice_dim(1, 0..count), seen, pass)
    }

    /// The tokens after the rest of the block, which works on each of them separately, from what they have `seen`.
    fn after_attention(&self, tokens: Tensor<3>, seen: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let [ls1, ls2] = [&self.ls1, &self.ls2].map(factors);
        let proj = &self.attn.proj;
        if self.drop_path.drops(pass) {
            let branch = proj.forward_scaled(seen, ls1);
            let tokens = tokens + self.drop_path.forward(branch, "drop_path1", pass);
            let branch = self.mlp.scaled(self.norm2.forward(tokens.clone()), ls2);
            return tokens + self.drop_path.forward(branch, "drop_path2", pass);
        }
        let tokens = proj.forward_onto(tokens, seen, ls1);
        self.mlp.with_shortcut(tokens, &self.norm2, ls2)
    }

    /// The attention of the first token to every token.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: `[batch, head, token]`
    pub fn first_attention(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.attn.first_weights(self.norm1.forward(tokens))
    }

    /// Values that a block keeps of each token for the backward pass: its input; queries, keys and values together; the output
    /// of the attention; the input of the MLP; and of the MLP the argument of the activation. Batches of fewer than eight images also
    /// keep what the first norm puts out.
    pub fn kept(dim: usize, mlp_ratio: usize) -> f64 {
        (6.0 + mlp_ratio as f64) * dim as f64
    }

    /// [`kept`](Self::kept) where neither half is a single operation, because of drop-path: also what both norms put out, and the
    /// output of the activation. Branches that are scaled share the memory of others, as measured.
    pub fn kept_apart(dim: usize, mlp_ratio: usize) -> f64 {
        (8.0 + 2.0 * mlp_ratio as f64) * dim as f64
    }

    /// The number of parameters of a block without layer scale, as `f64`: a configuration can ask for more than an integer
    /// holds.
    pub fn parameters(dim: usize, mlp_ratio: usize) -> f64 {
        let (dim, hidden) = (dim as f64, mlp_ratio as f64 * dim as f64);
        let (attention, mlp) = (4.0 * dim * dim + 4.0 * dim, 2.0 * dim * hidden + hidden + dim);
        attention + mlp + 4.0 * dim
    }
}

fn factors(scale: &Option<LayerScale>) -> Option<Tensor<1>> {
    scale.as_ref().map(|scale| scale.gamma.val())
}

/// `fc2(gelu(fc1(x)))`, on each token separately, with the exact GELU `x · Φ(x)`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// The wide layer.
    pub fc1: Linear,
    /// The layer back to the length of a token.
    pub fc2: Linear,
}

impl FeedForward {
    /// The tokens after both layers.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: the same
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(self.fc1.forward_gelu(tokens))
    }

    /// `x + factors · mlp(norm(x))`, in one operation where both layers are float32.
    fn with_shortcut(&self, tokens: Tensor<3>, norm: &LayerNorm, factors: Option<Tensor<1>>) -> Tensor<3> {
        match self.weights_after(norm, factors.clone()) {
            Some(weights) => feed_forward(tokens, weights),
            None => tokens.clone() + self.scaled(norm.forward(tokens), factors),
        }
    }

    /// `factors · mlp(x)`
    fn scaled(&self, tokens: Tensor<3>, factors: Option<Tensor<1>>) -> Tensor<3> {
        self.fc2.forward_scaled(self.fc1.forward_gelu(tokens), factors)
    }

    /// `shortcut + factors · mlp(norm(x))`, in one operation where both layers are float32: the factors then multiply the weights
    /// of the second layer.
    ///
    /// # Shapes
    /// - `shortcut`, `tokens`: `[batch, token, dim]`, `factors`: `[dim]`
    /// - returns: as `tokens`
    pub fn scaled_onto(
        &self,
        shortcut: Tensor<3>,
        tokens: Tensor<3>,
        norm: &LayerNorm,
        factors: Tensor<1>,
    ) -> Tensor<3> {
        match self.weights_after(norm, Some(factors.clone())) {
            Some(weights) => feed_forward_onto(shortcut, tokens, weights),
            None => shortcut + self.forward(norm.forward(tokens)) * factors.unsqueeze(),
        }
    }

    /// The parameters of both layers and the norm before them, with the factors of the outputs, if they can be one operation.
    fn weights_after(&self, norm: &LayerNorm, factors: Option<Tensor<1>>) -> Option<FeedForwardWeights> {
        let Self { fc1, fc2 } = self;
        let exact = [fc1, fc2].iter().all(|layer| layer.precision == Precision::F32);
        let bias1 = fc1.bias.as_ref().filter(|_| exact)?.val();
        let (weight2, bias2) = fc2.scaled(factors);
        Some(FeedForwardWeights {
            norm_weight: norm.weight.val(),
            norm_bias: norm.bias.val(),
            eps: EPS,
            weight1: fc1.weight.val(),
            bias1,
            weight2,
            bias2: bias2?,
        })
    }
}
