//! Two-dimensional convolution.

use burn::tensor::{Tensor, module, ops::ConvOptions};

/// Convolution with equal stride and zero padding on both axes.
///
/// # Shapes
/// - `input`: `[batch, channel_in, height, width]`
/// - `weight`: `[channel_out, channel_in, kernel, kernel]`, `bias`: `[channel_out]`
/// - returns: `[batch, channel_out, (height + 2·padding − kernel) / stride + 1, …]`
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    module::conv2d(input, weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
}
