//! ReLU.

use burn::tensor::{Tensor, activation};

/// `max(x, 0)`, element by element; the gradient at 0 is 0.
///
/// On libtorch this works in place if nothing else uses `x`, and keeps its output for the backward pass instead of its
/// input, which saves one copy of the activations.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&[&x.device()]) {
        return super::libtorch::relu(x);
    }
    activation::relu(x)
}
