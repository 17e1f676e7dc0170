//! A moving average, the step of a teacher.

use burn::tensor::Tensor;

use super::add_scaled;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// `momentum · old + (1 − momentum) · new`, element by element, in one pass where the backend supports it.
///
/// # Shapes
/// - `old`, `new` and the result: the same shape, without gradients
pub fn average<const D: usize>(old: Tensor<D>, new: Tensor<D>, momentum: f64) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(old, new)
        && ![&old, &new].into_iter().any(Tensor::is_autodiff)
    {
        return host.average(old.into(), new.into(), momentum).ranked();
    }
    portable(old, new, momentum)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable<const D: usize>(old: Tensor<D>, new: Tensor<D>, momentum: f64) -> Tensor<D> {
    add_scaled(old.mul_scalar(momentum), new, 1.0 - momentum)
}
