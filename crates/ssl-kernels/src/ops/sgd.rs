//! The update of stochastic gradient descent with momentum.

use burn::tensor::Tensor;

use super::add_scaled;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;
use super::sgd_rates::SgdRates;

/// Returns the new parameters and momentum buffer, in one pass where the backend supports it.
///
/// ```text
/// g ← g + decay · p;   b ← μ · b + g   (without a buffer: b = g);   p ← p − lr · b
/// ```
///
/// # Shapes
/// - all tensors: `[parameter]`, without gradients
///
/// # Source
/// `torch.optim.SGD`.
pub fn sgd_momentum(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
) -> (Tensor<1>, Tensor<1>) {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(parameter, gradient)
        && buffer.iter().all(|state| host_of!(parameter, (*state)).is_some())
        && ![&parameter, &gradient].into_iter().chain(buffer.iter()).any(Tensor::is_autodiff)
    {
        return host.sgd_momentum(parameter, gradient, buffer, rates);
    }
    portable(parameter, gradient, buffer, rates)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable(
    p: Tensor<1>,
    g: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
) -> (Tensor<1>, Tensor<1>) {
    let g = if rates.decay == 0.0 { g } else { add_scaled(g, p.clone(), rates.decay) };
    let buffer = match buffer {
        Some(buffer) => add_scaled(g, buffer, rates.momentum),
        None => g,
    };
    (add_scaled(p, buffer.clone(), -rates.lr), buffer)
}
