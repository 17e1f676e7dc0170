//! MAE: an encoder that sees a quarter of the patches, and a decoder that predicts the others.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::TransformerBlock;
use ssl_core::tokens::token_encoder;
use ssl_core::{
    Encoder, Footprint, Init, LossScale, Mask, MaskKind, MethodRules, Metrics, Needs, NoState, Pass,
    SslMethod, Step, StepContext, TokenShape, Tokens, Views,
};

use crate::{Decoder, DecoderInput, MaeConfig, mae};

/// MAE: the pixels of most patches are predicted from the tokens of the others.
///
/// ```text
/// tokens = encoder(kept patches)        nothing of the hidden ones enters it
/// pred   = decoder(tokens)
/// L      = mae(images, pred)            over the hidden patches
/// ```
#[doc(alias = "MAE")]
#[derive(Clone, Debug)]
pub struct Mae {
    pub(crate) config: MaeConfig,
}

/// What MAE trains.
#[derive(Module, Debug)]
pub struct MaeStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The decoder, discarded after pretraining.
    pub decoder: Decoder,
}

impl<E: Encoder> MaeStudent<E> {
    /// The encoder's tokens of the kept patches of some images, and the predicted pixels of all patches.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: pixels as `[batch, patch, pixel]`
    ///
    /// # Panics
    /// If the encoder has no tokens, or the mask keeps no patches or all of them, or is of another kind than
    /// [`Mask::Keep`].
    pub fn predict(&self, images: Tensor<4>, mask: &Mask, pass: &Pass) -> (Tokens, Tensor<3>) {
        let [_, _, height, width] = images.dims();
        let encoder = token_encoder(&self.encoder);
        let grid = encoder.patch_grid([height, width]);
        let Mask::Keep(places) = mask else {
            panic!("MAE hides single patches: expected a mask that keeps the others, got {:?}", mask.kind())
        };
        let ([_, kept], patches) = (places.dims(), grid[0] * grid[1]);
        let hides = 0 < kept && kept < patches;
        assert!(hides, "{kept} of {patches} patches are kept: expected at least 1 and one to predict");
        let tokens = encoder.encode_tokens(images, mask.masking(), pass);
        let input = DecoderInput {
            class: tokens.class.clone(),
            patches: tokens.patches.clone(),
            places: places.clone(),
            grid,
        };
        let pred = self.decoder.forward(input, &pass.part("decoder", 0));
        (tokens, pred)
    }
}

impl MethodRules for Mae {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, tokens: true, masks: Some(MaskKind::Keep), ..Needs::default() }
    }

    /// The mean of every patch, and its pixels. The variance of raw pixels is that of the images.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        match self.config.norm_pix {
            true => LossScale::guess(1.0).with_floor(0.0),
            false => LossScale::default().with_floor(0.0),
        }
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        let MaeConfig { decoder_dim, decoder_depth, decoder_mlp_ratio, .. } = self.config;
        let (dim, depth, patches) = (decoder_dim as f64, decoder_depth as f64, shape.patches as f64);
        let pixels = 3.0 * (shape.patch_size as f64).powi(2);
        let of_blocks = depth * TransformerBlock::parameters(decoder_dim, decoder_mlp_ratio);
        // The embedding, the mask token and the positions, the norm, and the pixels.
        let around = (shape.feature_dim as f64 + 1.0) * dim + (2.0 + patches) * dim + 2.0 * dim;
        // Tokens before and behind the blocks, and of every block what it keeps.
        let of_token = 4.0 * dim + depth * TransformerBlock::kept(decoder_dim, decoder_mlp_ratio);
        Footprint {
            other_parameters: of_blocks + around + (dim + 1.0) * pixels,
            other_kept: patches * (of_token + pixels),
            // Pixels, targets, errors and their gradient.
            loss: 4.0 * shape.images as f64 * patches * pixels,
            seen: Some(shape.seen),
            ..Footprint::default()
        }
    }
}

impl<E: Encoder> SslMethod<E> for Mae {
    type Student = MaeStudent<E>;
    type State = NoState;
    type Carry = ();

    /// # Panics
    /// If the encoder has no tokens.
    fn init(&self, encoder: E, init: &mut Init) -> (MaeStudent<E>, NoState) {
        let decoder = Decoder::init(&self.config, token_encoder(&encoder), init);
        (MaeStudent { encoder, decoder }, NoState {})
    }

    fn loss(&self, student: &MaeStudent<E>, _: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let (images, mask) = views.masked();
        let (tokens, pred) = student.predict(images.clone(), mask, &context.pass("student"));
        let [_, patches, _] = pred.dims();
        let metrics = Metrics::of_embeddings(tokens.pooled());
        Step::of_share(mae(images, pred, mask.hidden(patches), self.config.norm_pix), ())
            .with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a MaeStudent<E>, _: &'a NoState) -> &'a E {
        &student.encoder
    }
}
