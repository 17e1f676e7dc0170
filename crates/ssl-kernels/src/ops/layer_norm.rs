//! Layer normalisation.

use burn::tensor::{Tensor, module};

/// Normalises every row of the last axis.
///
/// ```text
/// y = weight · (x − mean(x)) / sqrt(var(x) + eps) + bias      var: biased
/// ```
///
/// # Shapes
/// - `input`: `[..., channel]`, `weight`, `bias`: `[channel]`
pub fn layer_norm<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    let devices = &[&input.device(), &weight.device(), &bias.device()];
    #[cfg(feature = "flex")]
    if super::flex::serves(devices)
        && super::flex::loops_take(&input)
        && super::flex::loops_take(&weight)
        && super::flex::loops_take(&bias)
    {
        return super::cpu::layer_norm::<super::flex::Flex, D>(input, weight, bias, eps);
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(devices)
        && super::libtorch::loops_take(&input)
        && super::libtorch::loops_take(&weight)
        && super::libtorch::loops_take(&bias)
    {
        return super::cpu::layer_norm::<super::libtorch::Backend, D>(input, weight, bias, eps);
    }
    portable(input, weight, bias, eps)
}

/// The portable version, with Burn's own operation.
pub(super) fn portable<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    module::layer_norm(input, weight, Some(bias), eps)
}
