//! What losses have in common. The losses of the papers live in the crates of their methods.

use burn::tensor::Tensor;

mod centering;
mod cross_entropy;
mod cross_view;
mod distillation;
mod info_nce;
mod koleo;
mod negative_cosine;
mod similarities;
mod sinkhorn;
mod smooth_l1;
mod weighted_cross_entropy;

pub use centering::{centered_entropy, centered_softmax, mean_logits, next_center};
pub use cross_entropy::cross_entropy;
pub use cross_view::cross_view_cross_entropy;
pub use distillation::{DistillationInput, DistillationLoss};
pub use info_nce::info_nce;
pub use koleo::koleo;
pub use negative_cosine::negative_cosine;
pub use similarities::{RowLoss, Similarities, block_values, info_nce_values};
pub use sinkhorn::{sinkhorn, sinkhorn_in_group};
pub use smooth_l1::smooth_l1;
pub use weighted_cross_entropy::weighted_cross_entropy;

/// A loss: a function from the outputs of a method to a scalar.
///
/// The input is a struct with named fields, so that a call says which tensor is which. Checks against golden values, or
/// of one device against another, are generic over this trait.
pub trait Loss {
    /// The arguments of the loss.
    type Input;

    /// The loss, `[1]`.
    fn forward(&self, input: Self::Input) -> Tensor<1>;
}
