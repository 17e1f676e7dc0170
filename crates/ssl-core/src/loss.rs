//! What losses have in common. The losses of the papers live in the crates of their methods.

use burn::tensor::Tensor;

mod cross_entropy;
mod cross_view;
mod distillation;
mod info_nce;
mod negative_cosine;
mod similarities;

pub use cross_entropy::cross_entropy;
pub use cross_view::cross_view_cross_entropy;
pub use distillation::{DistillationInput, DistillationLoss};
pub use info_nce::info_nce;
pub use negative_cosine::negative_cosine;
pub use similarities::{RowLoss, Similarities};

/// A loss: a function from what a method computed to one number.
///
/// The input is a struct with named fields, so that a call says which tensor is which. What holds a loss against golden values,
/// or one device against another, takes any loss.
pub trait Loss {
    /// What the loss is a function of.
    type Input;

    /// The loss, `[1]`.
    fn forward(&self, input: Self::Input) -> Tensor<1>;
}
