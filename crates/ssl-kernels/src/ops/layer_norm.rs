//! Layer normalisation.

use burn::tensor::{Tensor, module};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::choice::loops_serve;

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
    #[cfg(feature = "flex")]
    if loops_serve!(flex, input, weight, bias) {
        return super::cpu::layer_norm::<super::flex::Flex, D>(input, weight, bias, eps);
    }
    #[cfg(feature = "tch")]
    if loops_serve!(libtorch, input, weight, bias) {
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
