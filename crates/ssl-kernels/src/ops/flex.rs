//! The operations on `flex`, Burn's pure-Rust CPU backend: the loops of [`cpu`](super::cpu).

mod host;

use burn::backend::DType;
use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor};
use burn_flex::Flex;

use super::batch_norm::{After, BatchNormOutput};
use super::{SgdRates, cpu};

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

/// See [`conv2d`](super::conv2d).
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    cpu::conv2d::<Flex>(x, weight, stride, padding)
}

/// See [`batch_norm_train`](super::batch_norm_train) and its relatives.
pub(super) fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    after: After<D>,
    eps: f64,
) -> BatchNormOutput<D> {
    cpu::batch_norm_train::<Flex, D>(x, weight, bias, after, eps)
}

/// See [`sgd_momentum`](super::sgd_momentum).
pub(super) fn sgd_momentum(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
) -> (Tensor<1>, Tensor<1>) {
    cpu::sgd_momentum::<Flex>(parameter, gradient, buffer, rates)
}
