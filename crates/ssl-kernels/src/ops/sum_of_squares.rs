//! The sum of all squares, of which a norm is the root.

use burn::tensor::Tensor;

use super::sum;

/// The sum of the squares of all elements, `[1]`, in a fixed order, and in one pass where the backend supports it.
///
/// # Shapes
/// - `x`: `[value]`, without gradient
pub fn sum_of_squares(x: &Tensor<1>) -> Tensor<1> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    let plain = !x.device().is_autodiff();
    #[cfg(feature = "flex")]
    if plain && super::flex::serves(&[&x.device()]) && super::flex::loops_take(x) {
        return super::cpu::sum_of_squares::<super::flex::Flex>(x);
    }
    #[cfg(feature = "tch")]
    if plain && super::libtorch::serves(&[&x.device()]) && super::libtorch::loops_take(x) {
        return super::cpu::sum_of_squares::<super::libtorch::Backend>(x);
    }
    sum(x.clone().square())
}
