//! Linear layers, with or without GELU after them.

use burn::tensor::{Tensor, module};

use super::gelu;

/// `x weightᵀ + bias` on the last axis.
///
/// On `flex`, and in float32 on `tch`, forward and backward pass are matrix products without transposed copies.
///
/// # Shapes
/// - `input`: `[..., input]`
/// - `weight`: `[output, input]`, `bias`: `[output]`
/// - returns: `[..., output]`
pub fn linear<const D: usize>(input: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    layer(input, weight, bias, false)
}

/// [`gelu`]`(x weightᵀ + bias)`, the first half of a transformer's feed-forward network.
///
/// # Shapes
/// As [`linear`].
pub fn linear_gelu<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    layer(input, weight, bias, true)
}

fn layer<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    then_gelu: bool,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    let devices = {
        let of_bias = bias.as_ref().map_or_else(|| weight.device(), Tensor::device);
        [input.device(), weight.device(), of_bias]
    };
    #[cfg(any(feature = "flex", feature = "tch"))]
    let devices = &devices.each_ref();
    #[cfg(feature = "flex")]
    if super::flex::serves(devices)
        && super::flex::loops_take(&input)
        && super::flex::loops_take(&weight)
        && bias.as_ref().is_none_or(super::flex::loops_take)
    {
        return super::cpu::linear::<super::flex::Flex, D>(input, weight, bias, then_gelu);
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(devices)
        && super::libtorch::loops_take(&input)
        && super::libtorch::loops_take(&weight)
        && bias.as_ref().is_none_or(super::libtorch::loops_take)
    {
        return super::cpu::linear::<super::libtorch::Backend, D>(input, weight, bias, then_gelu);
    }
    portable(input, weight, bias, then_gelu)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    then_gelu: bool,
) -> Tensor<D> {
    let output = module::linear(input, weight.transpose(), bias);
    if then_gelu { gelu(output) } else { output }
}
