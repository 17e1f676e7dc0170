//! Encoders: networks that turn images into features.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

/// A network from images to features. What pretraining is about; everything else is thrown away afterwards.
pub trait Encoder: Module + ModuleDisplay {
    /// Features of a batch of images.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, feature_dim]`
    fn encode(&self, images: Tensor<4>, mode: Mode) -> Tensor<2>;

    /// Length of a feature vector.
    fn feature_dim(&self) -> usize;
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
