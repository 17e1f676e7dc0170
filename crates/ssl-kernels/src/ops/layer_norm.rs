//! Layer normalisation.

use burn::tensor::{Tensor, module};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

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
    if let Some(host) = host_of!(input, weight, bias) {
        return host.layer_norm(input.into(), weight, bias, eps).ranked();
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
