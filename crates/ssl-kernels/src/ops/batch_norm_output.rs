//! The output of a batch normalisation.

use burn::tensor::Tensor;

/// Normalised values together with the statistics that normalised them.
pub struct BatchNormOutput<const D: usize> {
    /// `[batch, channel, ...]`, the shape of the input.
    pub output: Tensor<D>,
    /// `[channel]`, mean of the batch, without gradient.
    pub mean: Tensor<1>,
    /// `[channel]`, biased variance of the batch, without gradient.
    pub variance: Tensor<1>,
}
