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
/// A layer can have a `factor` of its gradient and a `share` of the weight decay: `g ← (g + share · decay · p) · factor`.
///
/// # Shapes
/// - parameter, gradient, buffer: `[parameter]`, without gradients
/// - `layer`: `[2]`, factor and share
///
/// # Source
/// `torch.optim.SGD`; a layer's factor: LARS, You et al. 2017, <https://arxiv.org/abs/1708.03888>.
pub fn sgd_momentum(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
    layer: Option<Tensor<1>>,
) -> (Tensor<1>, Tensor<1>) {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(parameter, gradient)
        && buffer.iter().chain(&layer).all(|state| host_of!(parameter, (*state)).is_some())
        && ![&parameter, &gradient].into_iter().chain(&buffer).chain(&layer).any(Tensor::is_autodiff)
    {
        return host.sgd_momentum(parameter, gradient, buffer, rates, layer);
    }
    portable(parameter, gradient, buffer, rates, layer)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable(
    p: Tensor<1>,
    g: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
    layer: Option<Tensor<1>>,
) -> (Tensor<1>, Tensor<1>) {
    let SgdRates { lr, momentum, decay, nesterov, lr_in_momentum } = rates;
    let g = match layer {
        Some(layer) => {
            let decay = layer.clone().slice_dim(0, 1..2).mul_scalar(decay);
            (g + p.clone() * decay) * layer.slice_dim(0, 0..1)
        }
        None if decay == 0.0 => g,
        None => add_scaled(g, p.clone(), decay),
    };
    let (g, lr) = if lr_in_momentum { (g.mul_scalar(lr), 1.0) } else { (g, lr) };
    let buffer = match buffer {
        Some(buffer) => add_scaled(g.clone(), buffer, momentum),
        None => g.clone(),
    };
    let step = if nesterov { add_scaled(g, buffer.clone(), momentum) } else { buffer.clone() };
    (add_scaled(p, step, -lr), buffer)
}
