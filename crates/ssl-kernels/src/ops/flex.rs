//! The operations on `flex`, Burn's pure-Rust CPU backend.
//!
//! Burn's generic backward pass of a convolution is two further convolutions, one of them with a kernel as large as the
//! image, and its batch norm is a dozen element-wise passes. Here both are loops of their own. All sums have an order
//! that does not depend on the number of threads, so results are the same bits on every machine size.

mod batch_norm;
mod conv;
mod pool;
mod sgd;
mod simd;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::{Autodiff, DType};
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};
use burn_flex::{Flex, FlexTensor};

pub(super) use batch_norm::batch_norm_train;
pub(super) use conv::conv2d;
use pool::tensor;
pub(super) use sgd::sgd_momentum;

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Whether these kernels serve the devices: flex, with or without autodiff, and no gradient checkpointing, which keeps
/// what a backward pass needs in its own way.
pub(super) fn serves(devices: &[&Device]) -> bool {
    let balanced = Some(GradientCheckpointingStrategy::Balanced);
    devices
        .iter()
        .all(|device| **device == Device::flex() && device.gradient_checkpointing_strategy() != balanced)
}

/// Whether a tensor holds float32 values.
pub(super) fn is_f32<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32
}

/// The tensor on the autodiff device; one without gradients becomes a constant there.
fn tracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() { tensor } else { Tensor::from_inner(tensor) }
}

/// The values of a contiguous float32 tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous before")
}
