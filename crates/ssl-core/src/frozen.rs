//! Frozen networks: encoders of any architecture that a method learns from and never trains.

use std::fmt;

use burn::tensor::Tensor;

use crate::{Encoder, Masking, Pass, TokenEncoder};

/// What an encoder says of a batch of images, in one pass.
#[derive(Clone, Debug)]
pub struct Features {
    /// The feature of each image, as [`Encoder::encode`] returns it: `[batch, feature_dim]`.
    pub pooled: Tensor<2>,
    /// The tokens of the patches after the last norm, `[batch, patch, token_dim]`; `None` for an encoder without tokens.
    pub tokens: Option<Tensor<3>>,
}

impl Features {
    /// One pass of an encoder.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    pub fn of(encoder: &impl Encoder, images: Tensor<4>, pass: &Pass) -> Self {
        match encoder.tokens() {
            Some(of_tokens) => {
                let tokens = of_tokens.encode_tokens(images, Masking::None, pass);
                let patches = tokens.patches.clone();
                Self { pooled: of_tokens.pool(tokens), tokens: Some(patches) }
            }
            None => Self { pooled: encoder.encode(images, pass), tokens: None },
        }
    }
}

/// A network that a method learns from. It is no part of the student or the state: it gets no gradient, never changes, and
/// is in no checkpoint.
///
/// A method asks for one with [`Needs::teacher`](crate::Needs::teacher) and gets it from
/// [`MethodRules::learn_from`](crate::MethodRules::learn_from). It may be of another architecture and width than the student.
pub trait FrozenEncoder: fmt::Debug + Send + Sync {
    /// What the network says of images that are prepared for the student, in evaluation mode and without gradient.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    fn features(&self, images: Tensor<4>) -> Features;

    /// Length of a feature vector, and of a token.
    fn feature_dim(&self) -> usize;

    /// Height and width of a patch in pixels; `None` for a network without tokens.
    fn patch_size(&self) -> Option<usize>;
}

/// Any encoder as a [`FrozenEncoder`] whose images are prepared as the student's are.
///
/// ```
/// # use std::sync::Arc;
/// # use ssl_core::{Encoder, FrozenEncoder, MethodRules};
/// # use ssl_core::frozen::Frozen;
/// fn teach<E: Encoder + Sync + 'static>(method: &mut impl MethodRules, teacher: E) {
///     method.learn_from(Arc::new(Frozen::new(teacher)));
/// }
/// ```
#[derive(Debug)]
pub struct Frozen<E> {
    encoder: E,
}

impl<E: Encoder> Frozen<E> {
    /// Freezes an encoder, which must be on the device without gradients.
    pub fn new(encoder: E) -> Self {
        Self { encoder }
    }
}

impl<E: Encoder + Sync> FrozenEncoder for Frozen<E> {
    fn features(&self, images: Tensor<4>) -> Features {
        Features::of(&self.encoder, images, &Pass::eval())
    }

    fn feature_dim(&self) -> usize {
        self.encoder.feature_dim()
    }

    fn patch_size(&self) -> Option<usize> {
        self.encoder.tokens().map(TokenEncoder::patch_size)
    }
}
