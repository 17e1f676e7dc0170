//! Encoders: networks that turn images into features.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::{Pass, TokenEncoder};

/// A network from images to features: the part that is kept after pretraining.
pub trait Encoder: Module + ModuleDisplay {
    /// Features of a batch of images.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, feature_dim]`
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2>;

    /// Length of a feature vector.
    fn feature_dim(&self) -> usize;

    /// This network as a token encoder, if it is one. `None` by default.
    fn tokens(&self) -> Option<&dyn TokenEncoder> {
        None
    }

    /// Features at each position of the images, for dense tasks and feature distillation. `None` by default.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, dim, rows, columns]`
    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let _ = (images, pass);
        None
    }
}

/// Which statistics batch norm uses. Passed explicitly, since a teacher runs without gradients but still needs the
/// statistics of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; the running statistics are updated.
    Train,
    /// Batch statistics; the running statistics are left alone.
    BatchStats,
    /// Running statistics.
    Eval,
}
