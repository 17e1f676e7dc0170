//! Convolution on channels-last images, with libtorch's own backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn_tch::{LibTorch, TchTensor};

use super::{Tracked, native, parts, register};

/// See [`conv2d`](crate::ops::conv2d).
pub(in crate::ops) fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let plain = !x.device().is_autodiff() && !weight.device().is_autodiff();
    let ((x, x_node), (weight, weight_node)) = (parts(x), parts(weight));
    let geometry = [stride as i64, padding as i64];
    let x = TchTensor::from_existing(arranged(&x.tensor, &weight.tensor, geometry), x.storage);
    let [strides, paddings] = geometry.map(|length| [length; 2]);
    let output = x.tensor.conv2d(&weight.tensor, None::<&tch::Tensor>, strides, paddings, [1, 1], 1);
    let output = TchTensor::new(output);
    if plain {
        return Tensor::from_primitive::<LibTorch>(output);
    }
    let prepared = Convolution.prepare::<NoCheckpointing>([x_node, weight_node]).compute_bound().stateful();
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((x, weight, geometry), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked>(output)
}

/// The images in channels-last layout, except where libtorch fails on it.
fn arranged(x: &tch::Tensor, weight: &tch::Tensor, [stride, _]: [i64; 2]) -> tch::Tensor {
    // The weight gradient of libtorch 2.9 (oneDNN on AVX2) writes out of bounds for strided 1 × 1 kernels on 2 to 7
    // channels: `docs/backends.md` has a program that shows it.
    let [channels, kernel] = [weight.size()[1], weight.size()[2]];
    if kernel == 1 && stride > 1 && channels < 8 { x.contiguous() } else { native::channels_last(x) }
}

#[derive(Debug)]
struct Convolution;

impl Backward<LibTorch, 2> for Convolution {
    type State = (TchTensor, TchTensor, [i64; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<LibTorch>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let nodes = ops.parents.map(|node| node.map(|node| node.id));
        let needs = nodes.map(|node| node.is_some());
        let gradients = native::convolution_backward(&dy.tensor, &x.tensor, &weight.tensor, geometry, needs);
        for (node, gradient) in nodes.into_iter().zip(gradients) {
            register(grads, node, gradient);
        }
    }
}
