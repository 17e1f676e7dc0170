//! The sum of all squares, of which a norm is the root.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;
use super::sum;

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
