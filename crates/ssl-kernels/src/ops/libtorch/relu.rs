//! In-place ReLU, whose backward pass reads the output that the next layer keeps anyway.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn_tch::{LibTorch, TchTensor};

use super::{Tracked, parts};

/// See [`relu`](crate::ops::relu).
pub(in crate::ops) fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let plain = !x.device().is_autodiff();
    let (x, node) = parts(x);
    let output = x.unary_ops(|mut x| x.relu_(), |x| x.relu());
    if plain {
        return Tensor::from_primitive::<LibTorch>(output);
    }
    let output = match Rectification.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(output.clone(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked>(output)
}

#[derive(Debug)]
struct Rectification;

impl Backward<LibTorch, 1> for Rectification {
    type State = TchTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<LibTorch>(&ops.node);
        let output = ops.state;
        let [node] = ops.parents;
        if let Some(node) = node {
            let dx = output.tensor.threshold_backward(&dy.tensor, 0.0);
            grads.register::<LibTorch>(node.id, TchTensor::new(dx));
        }
    }
}
