//! Token encoders: networks that cut an image into patches and output a token for each.

use burn::tensor::{Bool, Int, Tensor};

use crate::{ConfigError, Encoder, Pass};

/// An encoder that outputs a token for every patch of an image.
///
/// An [`Encoder`] exposes it through [`Encoder::tokens`].
pub trait TokenEncoder {
    /// The tokens of a batch of images after the last norm.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    ///
    /// # Panics
    /// If the mask does not match the batch size or the [grid](Self::patch_grid) of the images, or if patches are to be
    /// replaced and the encoder has no mask token.
    fn encode_tokens(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Tokens;

    /// The class token alone, as [`encode_tokens`](Self::encode_tokens) computes it; `None` if the network has none.
    ///
    /// # Shapes
    /// - returns: `[batch, dim]`
    ///
    /// # Panics
    /// As `encode_tokens`.
    fn encode_class(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Option<Tensor<2>> {
        self.encode_tokens(images, masking, pass).class
    }

    /// The feature of each image, [made](Self::pool) of the tokens that it is seen as.
    ///
    /// # Shapes
    /// - returns: `[batch, dim]`
    ///
    /// # Panics
    /// As `encode_tokens`.
    fn encode_pooled(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Tensor<2> {
        self.pool(self.encode_tokens(images, masking, pass))
    }

    /// The tokens after each of the last `count` blocks, in order, each normalised by the final norm.
    ///
    /// # Panics
    /// If there are fewer than `count` blocks.
    ///
    /// # Source
    /// Official DINO `vision_transformer.py`, `get_intermediate_layers`.
    fn last_blocks(&self, images: Tensor<4>, count: usize, pass: &Pass) -> Vec<Tokens>;

    /// The attention of the class token to each patch in the last block.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, head, patch]`; rows do not sum to 1, since the class token and registers are left out
    ///
    /// # Panics
    /// If there is no class token.
    ///
    /// # Source
    /// Official DINO `vision_transformer.py`, `get_last_selfattention`.
    fn class_attention(&self, images: Tensor<4>, pass: &Pass) -> Tensor<3>;

    /// The feature of each image, made of its tokens as [`Encoder::encode`] makes it: by default the class
    /// token, or the mean of the patches if there is none.
    ///
    /// # Shapes
    /// - returns: `[batch, dim]`
    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        tokens.pooled()
    }

    /// Rows and columns of patches in images of `[height, width]` pixels.
    ///
    /// # Panics
    /// If the image size is not a multiple of the patch size.
    fn patch_grid(&self, pixels: [usize; 2]) -> [usize; 2];

    /// Number of blocks.
    fn depth(&self) -> usize;

    /// Height and width of a patch in pixels.
    fn patch_size(&self) -> usize;

    /// Rows and columns, of which there are as many, of patches in the images that the network was made for.
    fn side(&self) -> usize;

    /// Whether there is a class token.
    fn has_class_token(&self) -> bool;

    /// Whether there is a mask token, which [`Masking::Replace`] needs.
    fn has_mask_token(&self) -> bool;

    /// Length of a token.
    fn token_dim(&self) -> usize;
}

/// An encoder as a token encoder, for methods that [need tokens](crate::Needs::tokens).
///
/// # Panics
/// If it is none. A run refuses such encoders before it starts.
pub fn token_encoder(encoder: &impl Encoder) -> &dyn TokenEncoder {
    encoder.tokens().expect("this method needs an encoder with tokens and got one without: expected a ViT")
}

/// Checks that an encoder has a class token and a mask token, which takes the place of hidden patches.
///
/// # Errors
/// The key of the encoder that lacks one.
pub fn check_class_and_mask(encoder: &impl Encoder) -> Result<(), ConfigError> {
    let tokens = encoder.tokens();
    let has_mask_token = tokens.is_some_and(TokenEncoder::has_mask_token);
    let expected = "true: it takes the place of hidden patches";
    ConfigError::check(has_mask_token, "encoder.mask_token", has_mask_token, expected)?;
    let has_class_token = tokens.is_some_and(TokenEncoder::has_class_token);
    let expected = "true: it stands for the whole image";
    ConfigError::check(has_class_token, "encoder.class_token", has_class_token, expected)
}

/// Which patches an encoder sees. Patches are numbered row by row.
#[derive(Clone, Debug, Default)]
pub enum Masking {
    /// All patches.
    #[default]
    None,
    /// Only the patches at these indices, `[batch, kept]`: the others never enter the network (arXiv:2111.06377,
    /// arXiv:2301.08243).
    Keep(Tensor<2, Int>),
    /// All patches, with the mask token where the mask, `[batch, patch]`, is true (arXiv:2111.07832, arXiv:2304.07193).
    Replace(Tensor<2, Bool>),
}

/// The tokens of a batch of images.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The class token, `[batch, dim]`, where the network has one.
    pub class: Option<Tensor<2>>,
    /// The registers, `[batch, register, dim]`, where the network has some.
    pub registers: Option<Tensor<3>>,
    /// The patches, `[batch, patch, dim]`; with [`Masking::Keep`] only the kept ones, in the order given.
    pub patches: Tensor<3>,
}

impl Tokens {
    /// The mean of the patches, `[batch, dim]`.
    pub fn patch_mean(self) -> Tensor<2> {
        self.patches.mean_dim(1).squeeze_dim(1)
    }

    /// The feature of an image: the class token, or the mean of the patches if there is none, `[batch, dim]`.
    pub fn pooled(self) -> Tensor<2> {
        match self.class {
            Some(class) => class,
            None => self.patch_mean(),
        }
    }
}
