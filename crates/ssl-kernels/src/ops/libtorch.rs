//! The operations on libtorch. In float32 on the CPU, layers and optimizers use the loops of [`cpu`](super::cpu), unless
//! [disabled](super::with_backend_kernels); everything else uses libtorch's own kernels.
//!
//! Burn's generic formulation uses many small operations on channels-first images, which libtorch convolves more
//! slowly. Its own kernels take one call per operation, on images that are channels-last in memory while their axes
//! keep their order. Our loops multiply less, and read and write activations fewer times.

#![allow(deprecated)] // Burn deprecates its libtorch backend, which is the reason for pinning this version of Burn

mod add_scaled;
mod batch_norm;
mod conv;
mod host;
mod native;
mod relu;
#[cfg(test)]
mod tests;
mod threads;

use burn::backend::DispatchDevice;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::NodeGuard;
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Tensor};
use burn_tch::{LibTorch, LibTorchDevice, TchTensor};

use super::batch_norm_output::BatchNormOutput;
use super::choice::backend_kernels;
use super::cpu;
use super::epilogue::Epilogue;
pub(super) use add_scaled::add_scaled;
pub(super) use relu::relu;

/// The backend.
pub(super) type Backend = LibTorch;

type Tracked = cpu::Tracked<LibTorch>;

/// Whether these kernels serve the devices: libtorch, with or without autodiff, but not with gradient checkpointing,
/// which has its own way of keeping what a backward pass needs.
pub(super) fn serves(devices: &[&Device]) -> bool {
    let balanced = Some(GradientCheckpointingStrategy::Balanced);
    devices.iter().all(|device| {
        matches!((*device).clone().inner().as_dispatch(), DispatchDevice::LibTorch(_))
            && device.gradient_checkpointing_strategy() != balanced
    })
}

/// Whether the loops of [`cpu`] take a tensor: float32 on the CPU, unless [disabled](super::with_backend_kernels).
pub(super) fn loops_take<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device().inner();
    tensor.dtype() == DType::F32
        && !backend_kernels()
        && matches!(device.as_dispatch(), DispatchDevice::LibTorch(LibTorchDevice::Cpu))
}

/// See [`conv2d`](super::conv2d).
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    if loops_take(&x) && loops_take(&weight) {
        return cpu::conv2d::<LibTorch>(x, weight, stride, padding);
    }
    conv::conv2d(x, weight, stride, padding)
}

/// See [`batch_norm_train`](super::batch_norm_train) and the related functions.
pub(super) fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epilogue: Epilogue<D>,
    eps: f64,
) -> BatchNormOutput<D> {
    let out = batch_norm::batch_norm_train(x, weight, bias, eps);
    BatchNormOutput { output: epilogue.apply(out.output, relu), ..out }
}

/// The values of a tensor and its place in the graph; a tensor without gradients becomes a constant.
fn parts<const D: usize>(tensor: Tensor<D>) -> (TchTensor, NodeGuard) {
    cpu::tracked::<LibTorch>(tensor).into_parts()
}

/// Adds a gradient to those of a node, if it is needed.
fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: Option<tch::Tensor>) {
    if let (Some(node), Some(gradient)) = (node, gradient) {
        grads.register::<LibTorch>(node, TchTensor::new(gradient));
    }
}
