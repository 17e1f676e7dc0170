//! SimMIM: an encoder that sees a mask token in place of many patches, and a linear layer that predicts their pixels.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::{Linear, LinearConfig};
use ssl_core::tokens::token_encoder;
use ssl_core::{
    ConfigError, Encoder, Footprint, HeadShape, Init, LayerConfig, LossScale, Mask, MaskKind, Masking,
    MethodRules, Metrics, Needs, NoState, Pass, SslMethod, Step, StepContext, TokenEncoder, TokenShape,
    Tokens, Views,
};

use crate::simmim;

/// SimMIM: the pixels of hidden patches are predicted by a linear layer on an encoder that sees where they are.
///
/// ```text
/// tokens = encoder(images, the mask token in place of hidden patches)
/// pred   = decoder(tokens of patches)
/// L      = simmim(images, pred)             over the hidden patches
/// ```
#[doc(alias = "SimMIM")]
#[derive(Clone, Debug)]
pub struct SimMim {}

/// What SimMIM trains.
#[derive(Module, Debug)]
pub struct SimMimStudent<E> {
    /// The encoder, with a mask token.
    pub encoder: E,
    /// From a token to the pixels of its patch, discarded after pretraining. The official code has a convolution of 1×1 and
    /// moves its channels to pixels, which is the same but for the order of the outputs.
    pub decoder: Linear,
}

impl<E: Encoder> SimMimStudent<E> {
    /// The encoder's tokens of some images, and the predicted pixels of all patches.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - `hidden`: `[batch, patch]`, 1 for a hidden patch and 0 for another
    /// - returns: pixels as `[batch, patch, pixel]`
    ///
    /// # Panics
    /// If the encoder has no tokens or no mask token.
    pub fn predict(&self, images: Tensor<4>, hidden: Tensor<2>, pass: &Pass) -> (Tokens, Tensor<3>) {
        let masking = Masking::Replace(hidden.greater_elem(0.5));
        let tokens = token_encoder(&self.encoder).encode_tokens(images, masking, pass);
        let pred = self.decoder.forward(tokens.patches.clone());
        (tokens, pred)
    }
}

impl MethodRules for SimMim {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, tokens: true, masks: Some(MaskKind::Keep), ..Needs::default() }
    }

    /// Its pixels.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::default().with_floor(0.0)
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        let pixels = 3 * shape.patch_size.pow(2);
        let decoder = HeadShape::new(shape.feature_dim, [LayerConfig::new(pixels).bias()]);
        // Predictions, targets, errors and their gradient.
        let loss = 4.0 * (shape.images * shape.patches * pixels) as f64;
        Footprint { loss, ..Footprint::of_heads([decoder]) }
    }
}

impl<E: Encoder> SslMethod<E> for SimMim {
    type Student = SimMimStudent<E>;
    type State = NoState;
    type Carry = ();

    /// # Panics
    /// If the encoder has no tokens.
    fn init(&self, encoder: E, init: &mut Init) -> (SimMimStudent<E>, NoState) {
        let tokens = token_encoder(&encoder);
        let decoder = LinearConfig::new(tokens.token_dim(), 3 * tokens.patch_size().pow(2)).init(init);
        (SimMimStudent { encoder, decoder }, NoState {})
    }

    fn check(&self, encoder: &E, _batch: usize) -> Result<(), ConfigError> {
        let has_mask_token = encoder.tokens().is_some_and(TokenEncoder::has_mask_token);
        let expected = "true: it takes the place of hidden patches";
        ConfigError::check(has_mask_token, "encoder.mask_token", has_mask_token, expected)
    }

    fn loss(
        &self,
        student: &SimMimStudent<E>,
        _: &NoState,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let (images, mask) = views.masked();
        let hidden = hidden_of(mask, &images, token_encoder(&student.encoder));
        let (tokens, pred) = student.predict(images.clone(), hidden.clone(), &context.pass("student"));
        let metrics = Metrics::of_embeddings(tokens.pooled());
        Step::of_share(simmim(images, pred, hidden), ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a SimMimStudent<E>, _: &'a NoState) -> &'a E {
        &student.encoder
    }
}

/// 1 for every patch that a mask does not keep, of which each image has as many: a mean over hidden patches is then a mean over
/// images, and processes can share them.
///
/// # Panics
/// If the mask is of another kind, or keeps all patches.
fn hidden_of(mask: &Mask, images: &Tensor<4>, encoder: &dyn TokenEncoder) -> Tensor<2> {
    let [_, _, height, width] = images.dims();
    let [rows, columns] = encoder.patch_grid([height, width]);
    let Mask::Keep(places) = mask else {
        panic!("SimMIM hides single patches: expected a mask that keeps the others, got {:?}", mask.kind())
    };
    let ([_, kept], patches) = (places.dims(), rows * columns);
    assert!(kept < patches, "{kept} of {patches} patches are kept: expected at least one to predict");
    mask.hidden(patches)
}
