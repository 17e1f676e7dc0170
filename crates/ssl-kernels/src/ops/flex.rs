//! The operations on `flex`, Burn's pure-Rust CPU backend: the loops of [`cpu`](super::cpu).

mod host;

use burn::backend::DType;
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};
pub(super) use burn_flex::Flex;

use super::choice::backend_kernels;

/// Whether these kernels serve the devices: flex, with or without autodiff, but not with gradient checkpointing, which
/// has its own way of keeping what a backward pass needs.
pub(super) fn serves(devices: &[&Device]) -> bool {
    let balanced = Some(GradientCheckpointingStrategy::Balanced);
    devices
        .iter()
        .all(|device| **device == Device::flex() && device.gradient_checkpointing_strategy() != balanced)
}

/// Whether the loops of [`cpu`](super::cpu) take a tensor: float32, unless [disabled](super::with_backend_kernels).
pub(super) fn loops_take<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && !backend_kernels()
}
