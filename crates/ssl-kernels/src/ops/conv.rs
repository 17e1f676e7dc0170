//! Two-dimensional convolution.

use burn::tensor::{Tensor, module, ops::ConvOptions};

/// Convolution with equal stride and zero padding on both axes.
///
/// On `flex`, and in float32 on `tch`, forward and backward pass use our own kernels, see the source of `ops/cpu`.
/// Elsewhere on libtorch they use its own kernels on channels-last images; on other backends, Burn's.
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
    #[cfg(feature = "flex")]
    if super::flex::serves(&[&input.device(), &weight.device()])
        && super::flex::loops_take(&input)
        && super::flex::loops_take(&weight)
    {
        return shifted(super::cpu::conv2d::<super::flex::Flex>(input, weight, stride, padding), bias);
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&[&input.device(), &weight.device()]) && input.dtype() == weight.dtype() {
        return shifted(super::libtorch::conv2d(input, weight, stride, padding), bias);
    }
    portable(input, weight, bias, stride, padding)
}

#[cfg(any(feature = "flex", feature = "tch"))]
fn shifted(output: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    match bias {
        Some(bias) => output + bias.reshape([1, -1, 1, 1]),
        None => output,
    }
}

/// The portable version, with Burn's own operation.
pub(super) fn portable(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    module::conv2d(input, weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
}
