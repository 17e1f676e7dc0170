//! The decoder: a small transformer from the tokens of kept patches to the pixels of all patches.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use ssl_core::nn::{
    AxisOrder, LayerNorm, Linear, LinearConfig, TransformerBlock, fixed_positions, pos_embed_for,
};
use ssl_core::patches::put_back;
use ssl_core::{Init, Pass, TokenEncoder};

use crate::MaeConfig;

/// Standard deviation of the mask token (official `models_mae.py`, `initialize_weights`).
const MASK_TOKEN_STD: f64 = 0.02;

/// The decoder, discarded after pretraining.
///
/// ```text
/// y    = embed(tokens)
/// y    = kept patches back at their places, mask_token at all others
/// pred = pred(norm(blocks(y + pos_embed))),   without the class token
/// ```
///
/// The class token passes the blocks as well. The positions are sines and cosines, which are never trained; views of another
/// size than the encoder was made for get them resized, as in the encoder.
///
/// # Source
/// He et al. 2021, section 3, <https://arxiv.org/abs/2111.06377>; official `models_mae.py`, `forward_decoder`.
#[derive(Module, Debug)]
pub struct Decoder {
    /// From the encoder's tokens to the decoder's.
    pub embed: Linear,
    /// What stands for a hidden patch, `[1, 1, dim]`.
    pub mask_token: Param<Tensor<3>>,
    /// `[1, class token + patch, dim]`
    pub pos_embed: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<TransformerBlock>,
    /// The norm behind them.
    pub norm: LayerNorm,
    /// From a token to the pixels of its patch.
    pub pred: Linear,
}

/// What a [`Decoder`] predicts pixels from.
#[derive(Clone, Debug)]
pub struct DecoderInput {
    /// The encoder's class token, `[batch, dim]`, where it has one.
    pub class: Option<Tensor<2>>,
    /// Its tokens of the kept patches, `[batch, kept, dim]`.
    pub patches: Tensor<3>,
    /// The places of these, `[batch, kept]`.
    pub places: Tensor<2, Int>,
    /// Rows and columns of patches of the images.
    pub grid: [usize; 2],
}

impl Decoder {
    /// Creates a decoder for the tokens of an encoder. Weights are Xavier-uniform, biases 0.
    ///
    /// # Panics
    /// If `decoder_dim` is no multiple of 4 or of the number of heads.
    ///
    /// # Source
    /// Official `models_mae.py`, `initialize_weights`.
    pub fn init(config: &MaeConfig, encoder: &dyn TokenEncoder, init: &mut Init) -> Self {
        let (dim, heads, ratio) = (config.decoder_dim, config.decoder_heads, config.decoder_mlp_ratio);
        let class_tokens = usize::from(encoder.has_class_token());
        let xavier = |layer: &LinearConfig, init: &mut Init| layer.init_xavier(init);
        Self {
            embed: LinearConfig::new(encoder.token_dim(), dim).init_xavier(init),
            mask_token: init.normal([1, 1, dim], MASK_TOKEN_STD),
            pos_embed: fixed_positions(encoder.side(), dim, class_tokens, AxisOrder::ColumnRow, init),
            blocks: (0..config.decoder_depth)
                .map(|_| TransformerBlock::init(dim, heads, ratio, xavier, init))
                .collect(),
            norm: LayerNorm::init(dim, init),
            pred: LinearConfig::new(dim, 3 * encoder.patch_size().pow(2)).init_xavier(init),
        }
    }

    /// The predicted pixels of all patches.
    ///
    /// # Shapes
    /// - returns: `[batch, patch, pixel]`, patches row by row, pixels as [`patchify`](ssl_core::patches::patchify) orders them
    pub fn forward(&self, input: DecoderInput, pass: &Pass) -> Tensor<3> {
        let DecoderInput { class, patches, places, grid: [rows, columns] } = input;
        let patches = put_back(self.embed.forward(patches), places, self.mask_token.val(), rows * columns);
        let class = class.map(|class| self.embed.forward(class).unsqueeze_dim::<3>(1));
        let class_tokens = usize::from(class.is_some());
        let tokens = Tensor::cat(class.into_iter().chain([patches]).collect(), 1);
        let tokens = tokens + pos_embed_for(self.pos_embed.val(), [rows, columns]);
        let tokens = self.blocks.iter().fold(tokens, |tokens, block| block.forward(tokens, pass));
        let patches = tokens.narrow(1, class_tokens, rows * columns);
        self.pred.forward(self.norm.forward(patches))
    }
}
