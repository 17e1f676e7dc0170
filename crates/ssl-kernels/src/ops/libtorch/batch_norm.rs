//! Batch normalisation with libtorch's own kernels.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn_tch::{LibTorch, TchTensor};

use super::native::{self, BatchNormSaved};
use super::{Tracked, parts, register};
use crate::ops::batch_norm_output::BatchNormOutput;

/// See [`batch_norm_train`](crate::ops::batch_norm_train).
pub(in crate::ops) fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> BatchNormOutput<D> {
    let plain = [x.device(), weight.device(), bias.device()].iter().all(|device| !device.is_autodiff());
    let ((x, x_node), (weight, weight_node), (bias, bias_node)) = (parts(x), parts(weight), parts(bias));
    let (output, variance, saved) = normalise(x, weight, &bias, eps);
    let mean = Tensor::from_primitive::<LibTorch>(saved.mean.clone());
    let variance = Tensor::from_primitive::<LibTorch>(variance);
    if plain {
        return BatchNormOutput { output: Tensor::from_primitive::<LibTorch>(output), mean, variance };
    }
    let prepared = Normalisation.prepare::<NoCheckpointing>([x_node, weight_node, bias_node]);
    let output = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    BatchNormOutput { output: Tensor::from_primitive::<Tracked>(output), mean, variance }
}

/// Normalised values, biased variance, and what the backward pass needs.
fn normalise(
    x: TchTensor,
    weight: TchTensor,
    bias: &TchTensor,
    eps: f64,
) -> (TchTensor, TchTensor, BatchNormSaved) {
    // libtorch returns 1 / sqrt(var + eps), from which a small variance cannot be recovered. The variance itself is
    // only mixed into running statistics; with momentum 1 it replaces them.
    let running = [weight.tensor.zeros_like(), weight.tensor.zeros_like()];
    let (output, mean, inv_std) = x.tensor.native_batch_norm(
        Some(&weight.tensor),
        Some(&bias.tensor),
        Some(&running[0]),
        Some(&running[1]),
        true,
        1.0,
        eps,
    );
    let count = (x.tensor.numel() / weight.tensor.numel()) as f64;
    let variance = &running[1] * ((count - 1.0) / count);
    let [output, variance, mean, inv_std] = [output, variance, mean, inv_std].map(TchTensor::new);
    (output, variance, BatchNormSaved { x, weight, mean, inv_std, eps })
}

#[derive(Debug)]
struct Normalisation;

impl Backward<LibTorch, 3> for Normalisation {
    type State = BatchNormSaved;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<LibTorch>(&ops.node);
        let nodes = ops.parents.map(|node| node.map(|node| node.id));
        let gradients = native::batch_norm_backward(&dy.tensor, &ops.state, nodes[0].is_some());
        for (node, gradient) in nodes.into_iter().zip(gradients) {
            register(grads, node, gradient);
        }
    }
}
