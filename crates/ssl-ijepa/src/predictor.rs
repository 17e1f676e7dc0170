//! The predictor: a narrow transformer from the tokens of a context to those of target patches.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use ssl_core::nn::{
    Attention, AxisOrder, FeedForward, LayerNorm, Linear, LinearConfig, TransformerBlock, fixed_positions,
    pos_embed_for,
};
use ssl_core::patches::shared_rows_at;
use ssl_core::{Init, Pass, TokenEncoder};

use crate::IJepaConfig;

/// Standard deviation of weights and mask token (official `vision_transformer.py`, `init_std`).
const STD: f64 = 0.02;

/// The predictor, discarded after pretraining.
///
/// ```text
/// x_p  = [embed(context) + positions of the context; mask_token + positions of the targets of block p]
/// pred = proj(norm(blocks(x_p))) at the targets
/// ```
///
/// Blocks of targets do not see each other. The positions are sines and cosines, which are never trained.
///
/// # Source
/// Assran et al. 2023, section 3, <https://arxiv.org/abs/2301.08243>; official `vision_transformer.py`,
/// `VisionTransformerPredictor`.
#[derive(Module, Debug)]
pub struct Predictor {
    /// From the encoder's tokens to the predictor's.
    pub embed: Linear,
    /// What stands for a target, `[1, 1, dim]`.
    pub mask_token: Param<Tensor<3>>,
    /// `[1, patch, dim]`
    pub pos_embed: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<TransformerBlock>,
    /// The norm behind them.
    pub norm: LayerNorm,
    /// From the predictor's tokens to the encoder's.
    pub proj: Linear,
}

/// What a [`Predictor`] predicts tokens from.
#[derive(Clone, Debug)]
pub struct PredictorInput {
    /// The encoder's tokens of the context, `[batch, kept, token_dim]`.
    pub context: Tensor<3>,
    /// The places of these, `[batch, kept]`.
    pub context_places: Tensor<2, Int>,
    /// The places of the targets, `[block, batch, target]`.
    pub target_places: Tensor<3, Int>,
    /// Rows and columns of patches of the images.
    pub grid: [usize; 2],
}

impl Predictor {
    /// Creates a predictor for the tokens of an encoder. Weights are truncated normal with standard deviation 0.02; those of the
    /// last layers of the branches of block `i`, from 1, are divided by `sqrt(2 · i)`. Biases are 0.
    ///
    /// # Panics
    /// If `predictor_dim` is no multiple of 4 or of the number of heads.
    ///
    /// # Source
    /// Official `vision_transformer.py`, `_init_weights` and `fix_init_weight`.
    pub fn init(config: &IJepaConfig, encoder: &dyn TokenEncoder, init: &mut Init) -> Self {
        let dim = config.predictor_dim;
        Self {
            embed: LinearConfig::new(encoder.token_dim(), dim).init_truncated_normal(STD, init),
            mask_token: init.truncated_normal([1, 1, dim], STD),
            pos_embed: fixed_positions(encoder.side(), dim, 0, AxisOrder::ColumnRow, init),
            blocks: (1..=config.predictor_depth).map(|block| self::block(config, block, init)).collect(),
            norm: LayerNorm::init(dim, init),
            proj: LinearConfig::new(dim, encoder.token_dim()).init_truncated_normal(STD, init),
        }
    }

    /// The predicted tokens of all targets.
    ///
    /// # Shapes
    /// - returns: `[block · batch, target, token_dim]`, block by block
    pub fn forward(&self, input: PredictorInput, pass: &Pass) -> Tensor<3> {
        let PredictorInput { context, context_places, target_places, grid } = input;
        let ([blocks, batch, targets], [_, kept, _]) = (target_places.dims(), context.dims());
        let positions = pos_embed_for(self.pos_embed.val(), grid);
        let context = self.embed.forward(context) + shared_rows_at(positions.clone(), context_places);
        let [_, _, dim] = context.dims();
        let context = context.unsqueeze::<4>().expand([blocks, batch, kept, dim]);
        let context = context.reshape([blocks * batch, kept, dim]);
        let places = target_places.reshape([blocks * batch, targets]);
        let wanted = shared_rows_at(positions, places) + self.mask_token.val();
        let tokens = Tensor::cat(vec![context, wanted], 1);
        let tokens = self.blocks.iter().fold(tokens, |tokens, block| block.forward(tokens, pass));
        self.proj.forward(self.norm.forward(tokens.narrow(1, kept, targets)))
    }
}

fn block(config: &IJepaConfig, index: usize, init: &mut Init) -> TransformerBlock {
    let (dim, hidden) = (config.predictor_dim, config.predictor_dim * config.predictor_mlp_ratio);
    let last = STD / (2.0 * index as f64).sqrt();
    let mut layer =
        |inputs, outputs, std| LinearConfig::new(inputs, outputs).init_truncated_normal(std, init);
    let (qkv, proj) = (layer(dim, 3 * dim, STD), layer(dim, dim, last));
    let (fc1, fc2) = (layer(dim, hidden, STD), layer(hidden, dim, last));
    let attention = Attention { qkv, proj, heads: config.predictor_heads };
    TransformerBlock::new(attention, FeedForward { fc1, fc2 }, init)
}
