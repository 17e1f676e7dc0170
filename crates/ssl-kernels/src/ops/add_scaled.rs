//! A scaled sum, the building block of optimizers and moving averages.

use burn::tensor::Tensor;

/// `a + factor · b`, element by element.
///
/// On libtorch, without gradients, this is a single pass over the values, in place if nothing else uses `a`.
///
/// # Shapes
/// - `a`, `b` and the result: the same shape
pub fn add_scaled<const D: usize>(a: Tensor<D>, b: Tensor<D>, factor: f64) -> Tensor<D> {
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&[&a.device(), &b.device()])
        && !a.device().is_autodiff()
        && !b.device().is_autodiff()
        && (a.dtype(), a.dims()) == (b.dtype(), b.dims())
    {
        return super::libtorch::add_scaled(a, b, factor);
    }
    a + b.mul_scalar(factor)
}
