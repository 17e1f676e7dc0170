//! Linear layers, with or without GELU after them.

use burn::tensor::{Tensor, module};

use super::gelu;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::{any_rank::AnyRank, host::host_of};

/// `x weightᵀ + bias` on the last axis.
///
/// On `flex`, and in float32 on `tch`, forward and backward pass are matrix products of operands as they lie in memory, but for the
/// weight, of which there is a copy where it is multiplied by 128 rows or more.
///
/// # Shapes
/// - `input`: `[..., input]`
/// - `weight`: `[output, input]`, `bias`: `[output]`
/// - returns: `[..., output]`
pub fn linear<const D: usize>(input: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    layer(None, input, weight, bias, false)
}

/// [`linear`] added to a shortcut, without a pass of its own for the sum where the backend supports that.
///
/// # Shapes
/// As [`linear`], and `shortcut` as the output.
pub fn linear_onto<const D: usize>(
    shortcut: Tensor<D>,
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    layer(Some(shortcut), input, weight, bias, false)
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
    layer(None, input, weight, bias, true)
}

fn layer<const D: usize>(
    shortcut: Option<Tensor<D>>,
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    then_gelu: bool,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(input, weight)
        && bias.as_ref().is_none_or(|bias| host_of!(input, (*bias)).is_some())
        && shortcut.as_ref().is_none_or(|shortcut| host_of!(input, (*shortcut)).is_some())
    {
        let shortcut = shortcut.map(AnyRank::from);
        return host.linear(shortcut, input.into(), weight, bias, then_gelu).ranked();
    }
    let output = portable(input, weight, bias, then_gelu);
    match shortcut {
        Some(shortcut) => shortcut + output,
        None => output,
    }
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
