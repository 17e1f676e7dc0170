//! What a probe sees of an encoder.

use burn::tensor::Tensor;
use ssl_core::{ConfigError, Encoder, Masking, Pass, TokenEncoder, Tokens};

/// What a probe sees of an encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeInput {
    /// The encoder's features, as in k-NN.
    #[default]
    Features,
    /// The features of the last blocks of a ViT, each normalised by the final norm, one after the other: the class token, or
    /// the mean of the patches where there is none.
    ///
    /// Source: DINO's `eval_linear.py` (`n_last_blocks`, `avgpool_patchtokens`) and DINOv2's `eval/linear.py`
    /// (`create_linear_input`); without a class token, I-JEPA, appendix A.
    Blocks {
        /// How many blocks, at least 1; 4 for DINO's ViT-S and for I-JEPA, 1 and 4 for DINOv2.
        count: usize,
        /// Whether the mean of the last block's patches follows.
        patch_mean: bool,
    },
    /// Every patch of a ViT, or every position of the last feature map of another network, for an attentive probe.
    Patches,
}

impl ProbeInput {
    /// The length of what a probe sees of an image; with [`Patches`](Self::Patches), of each patch.
    ///
    /// # Errors
    /// If the encoder has nothing of this kind.
    pub fn dim<E: Encoder>(self, encoder: &E) -> Result<usize, ConfigError> {
        let tokens = encoder.tokens();
        let (count, patch_mean) = match self {
            Self::Features => return Ok(encoder.feature_dim()),
            Self::Patches => return Ok(tokens.map_or(encoder.feature_dim(), TokenEncoder::token_dim)),
            Self::Blocks { count, patch_mean } => (count, patch_mean),
        };
        let depth = tokens.map_or(0, TokenEncoder::depth);
        ConfigError::check(
            (1..=depth).contains(&count),
            "blocks",
            count,
            "1 to the number of blocks of a ViT, and no blocks of another network",
        )?;
        let doubled = patch_mean && tokens.is_some_and(|tokens| !tokens.has_class_token());
        ConfigError::check(
            !doubled,
            "patch_mean",
            patch_mean,
            "false for a ViT without a class token, whose blocks are seen as the mean of their patches",
        )?;
        Ok((count + usize::from(patch_mean)) * tokens.map_or(0, TokenEncoder::token_dim))
    }

    /// What a probe sees of a batch of images, with running statistics.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, dim]`, or `[batch, patch · dim]` with [`Patches`](Self::Patches)
    ///
    /// # Panics
    /// If [`dim`](Self::dim) is an error.
    pub fn of<E: Encoder>(self, encoder: &E, images: Tensor<4>) -> Tensor<2> {
        let pass = Pass::eval();
        match (self, encoder.tokens()) {
            (Self::Features, _) => encoder.encode(images, &pass),
            (Self::Blocks { count, patch_mean }, Some(tokens)) => {
                blocks(tokens.last_blocks(images, count, &pass), patch_mean)
            }
            (Self::Blocks { .. }, None) => panic!("blocks of a network that has no tokens"),
            (Self::Patches, Some(tokens)) => {
                tokens.encode_tokens(images, Masking::None, &pass).patches.flatten(1, 2)
            }
            (Self::Patches, None) => positions(encoder, images, &pass),
        }
    }
}

/// `[batch, dim]` of every block, and of the last one's patches.
fn blocks(tokens: Vec<Tokens>, patch_mean: bool) -> Tensor<2> {
    let mean = tokens.last().filter(|_| patch_mean).map(|last| last.clone().patch_mean());
    let features: Vec<_> = tokens.into_iter().map(Tokens::pooled).chain(mean).collect();
    Tensor::cat(features, 1)
}

/// `[batch, position · dim]` of a feature map, or the features as if they were one position.
fn positions<E: Encoder>(encoder: &E, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
    match encoder.feature_map(images.clone(), pass) {
        Some(map) => map.permute([0, 2, 3, 1]).flatten(1, 3),
        None => encoder.encode(images, pass),
    }
}
