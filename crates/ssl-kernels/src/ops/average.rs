//! A moving average, the step of a teacher.

use burn::tensor::Tensor;

use super::add_scaled;

/// `momentum · old + (1 − momentum) · new`, element by element, in one pass where the backend supports it.
///
/// # Shapes
/// - `old`, `new` and the result: the same shape, without gradients
pub fn average<const D: usize>(old: Tensor<D>, new: Tensor<D>, momentum: f64) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if [&old, &new].iter().all(|t| {
        !t.device().is_autodiff() && super::flex::serves(&[&t.device()]) && super::flex::loops_take(t)
    }) {
        return super::cpu::average::<super::flex::Flex, D>(old, new, momentum);
    }
    #[cfg(feature = "tch")]
    if [&old, &new].iter().all(|t| !t.device().is_autodiff() && super::libtorch::loops_take(t)) {
        return super::cpu::average::<super::libtorch::Backend, D>(old, new, momentum);
    }
    portable(old, new, momentum)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable<const D: usize>(old: Tensor<D>, new: Tensor<D>, momentum: f64) -> Tensor<D> {
    add_scaled(old.mul_scalar(momentum), new, 1.0 - momentum)
}
