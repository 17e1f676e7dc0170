//! The operations on libtorch, through its own kernels.
//!
//! Burn's generic backward pass of a convolution is two further convolutions, its batch norm and the backward pass of its
//! ReLU are made of small operations, and its images are channels-first, which libtorch convolves more slowly. Here every
//! operation is one call, and images are channels-last in memory, while the order of their axes stays.

#![allow(deprecated)] // Burn deprecates its libtorch backend, which is the reason for pinning this version of Burn

mod add_scaled;
mod batch_norm;
mod conv;
mod native;
mod relu;
#[cfg(test)]
mod tests;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::{Autodiff, DispatchDevice};
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};
use burn_tch::{LibTorch, TchTensor};

pub(super) use add_scaled::add_scaled;
pub(super) use batch_norm::batch_norm_train;
pub(super) use conv::conv2d;
pub(super) use relu::relu;

type Tracked = Autodiff<LibTorch, NoCheckpointing>;

/// Whether these kernels serve the devices: libtorch, with or without autodiff, and no gradient checkpointing, which
/// keeps what a backward pass needs in its own way.
pub(super) fn serves(devices: &[&Device]) -> bool {
    let balanced = Some(GradientCheckpointingStrategy::Balanced);
    devices.iter().all(|device| {
        matches!((*device).clone().inner().as_dispatch(), DispatchDevice::LibTorch(_))
            && device.gradient_checkpointing_strategy() != balanced
    })
}

/// The values of a tensor and its place in the graph; one without gradients is a constant there.
fn parts<const D: usize>(tensor: Tensor<D>) -> (TchTensor, NodeGuard) {
    let tensor = if tensor.device().is_autodiff() { tensor } else { Tensor::from_inner(tensor) };
    tensor.try_into_primitive::<Tracked>().expect("the device was checked").into_parts()
}

/// Adds a gradient to those of a node, where somebody wants it.
fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: Option<tch::Tensor>) {
    if let (Some(node), Some(gradient)) = (node, gradient) {
        grads.register::<LibTorch>(node, TchTensor::new(gradient));
    }
}
