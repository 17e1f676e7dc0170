//! The operations on `flex`, Burn's pure-Rust CPU backend: the loops of [`cpu`](super::cpu).

mod host;

use burn::backend::DType;
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};
pub(super) use burn_flex::Flex;

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
