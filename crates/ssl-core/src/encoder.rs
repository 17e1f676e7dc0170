//! Encoders: networks that turn images into features.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::{Pass, TokenEncoder};

/// A network from images to features. What pretraining is about; everything else is thrown away afterwards.
pub trait Encoder: Module + ModuleDisplay {
    /// Features of a batch of images.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, feature_dim]`
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2>;

    /// Length of a feature vector.
    fn feature_dim(&self) -> usize;

    /// The same network as an encoder of tokens; none by default.
    fn tokens(&self) -> Option<&dyn TokenEncoder> {
        None
    }

    /// The features of each place of the images, for dense tasks and for distillation of features; none by default.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, dim, rows, columns]`
    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let _ = (images, pass);
        None
    }
}

/// Which statistics batch norm uses. Given explicitly, since a teacher runs without gradients and still needs
/// the statistics of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch; the running statistics move towards them.
    Train,
    /// Statistics of the batch; the running statistics stay.
    BatchStats,
    /// Running statistics.
    Eval,
}
