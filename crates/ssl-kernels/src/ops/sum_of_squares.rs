//! The sum of all squares, of which a norm is the root.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;
use super::{add_scaled, sum};

/// The sum of the squares of all elements, `[1]`, in a fixed order, and in one pass where the backend supports it.
///
/// # Shapes
/// - `x`: `[value]`, without gradient
pub fn sum_of_squares(x: &Tensor<1>) -> Tensor<1> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!((*x))
        && !x.is_autodiff()
    {
        return host.sum_of_squares(x);
    }
    sum(x.clone().square())
}

/// The squares of the norms that a layer's rate is made of, `[2]`: `‖p‖²` and `‖g + decay · p‖²`, in one pass where the backend
/// supports it.
///
/// # Shapes
/// - `p`, `g`: `[parameter]`, without gradients
pub fn layer_squares(p: &Tensor<1>, g: &Tensor<1>, decay: f64) -> Tensor<1> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!((*p), (*g))
        && ![p, g].into_iter().any(Tensor::is_autodiff)
    {
        return host.layer_squares(p, g, decay);
    }
    let decayed = if decay == 0.0 { g.clone() } else { add_scaled(g.clone(), p.clone(), decay) };
    Tensor::cat(vec![sum_of_squares(p), sum_of_squares(&decayed)], 0)
}
