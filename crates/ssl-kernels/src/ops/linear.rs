//! Linear layers, with or without GELU after them.

use burn::tensor::{Tensor, module};

use super::gelu;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

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
    if let Some(host) = host_of!(input, weight)
        && bias.as_ref().is_none_or(|bias| host_of!(input, (*bias)).is_some())
    {
        return host.linear(input.into(), weight, bias, then_gelu).ranked();
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
