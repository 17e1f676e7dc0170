//! The sum over the processes that train together.

#![allow(deprecated)] // Burn deprecates its libtorch backend, which is the reason for pinning this version of Burn

#[cfg(any(feature = "wgpu-plain", feature = "cuda-plain", feature = "rocm-plain"))]
use burn::backend::Cube;
#[cfg(feature = "flex")]
use burn::backend::Flex;
#[cfg(feature = "tch")]
use burn::backend::LibTorch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, DispatchKindConversion, DispatchTensor, DispatchTensorKind,
    TensorMetadata,
};
use burn::tensor::Tensor;

use crate::Group;

/// The sum over all ranks of a tensor that may have gradients.
///
/// ```text
/// S = Σ_r x_r,    dL/dx_r = Σ_q dL_q/dS       L = Σ_q L_q
/// ```
///
/// The gradient is that of the sum of all ranks' losses. If each rank computes the mean loss of the global batch, or if
/// gradients are averaged later, the caller divides by the number of ranks.
///
/// In a group of one, `x` itself is returned.
///
/// # Shapes
/// - `x`: `[value]`, of the same length on all ranks
/// - returns: `[value]`
///
/// # Deadlocks
/// The backward pass also calls the group. So `x` must have gradients on all ranks or on none, and the loss of every
/// rank must depend on the result, if only by a factor of 0. With several sums, the order of their backward passes
/// depends on the graph, which must then have the same shape on all ranks. Ranks that are threads need [separate
/// graphs](crate::Collective#ranks-in-one-process).
///
/// # Panics
/// If the group returns a tensor of another backend or shape, and wherever its calls panic.
pub fn all_reduce_sum(x: Tensor<1>, group: &Group) -> Tensor<1> {
    if group.is_solo() {
        return x;
    }
    if !x.device().is_autodiff() {
        return group.all_reduce_sum(x);
    }
    let DispatchTensor { kind: DispatchTensorKind::Autodiff(kind), autodiff } = x.into_dispatch() else {
        unreachable!("a tensor on a device with autodiff");
    };
    let kind = match *kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(x) => {
            DispatchTensorKind::Flex(BackendTensor::Autodiff(tracked::<Flex>(x.autodiff(), group)))
        }
        #[cfg(feature = "tch")]
        DispatchTensorKind::LibTorch(x) => {
            DispatchTensorKind::LibTorch(BackendTensor::Autodiff(tracked::<LibTorch>(x.autodiff(), group)))
        }
        #[cfg(any(feature = "wgpu-plain", feature = "cuda-plain", feature = "rocm-plain"))]
        DispatchTensorKind::Cube(x) => {
            DispatchTensorKind::Cube(BackendTensor::Autodiff(tracked::<Cube>(x.autodiff(), group)))
        }
        #[allow(unreachable_patterns)] // with every backend compiled in, nothing is left for this arm
        other => {
            panic!("all_reduce_sum: a tensor on {:?}, expected a backend of ssl-kernels", other.device())
        }
    };
    Tensor::from_dispatch(DispatchTensor { kind: DispatchTensorKind::Autodiff(Box::new(kind)), autodiff })
}

fn tracked<B: Backend>(x: FloatTensor<Autodiff<B>>, group: &Group) -> FloatTensor<Autodiff<B>>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let (values, node) = x.into_parts();
    let output = summed::<B>(values, group);
    match Reduction.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(group.clone(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

/// The sum over all ranks of values without gradients.
fn summed<B: Backend>(values: FloatTensor<B>, group: &Group) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let values = Tensor::<1>::from_primitive::<B>(values);
    let shape = values.dims();
    let sum = group.all_reduce_sum(values);
    assert_eq!(sum.dims(), shape, "shape of the sum that a group gives back, and of the values given to it");
    sum.try_into_primitive::<B>().expect("a group gives back tensors of the device that it gets them from")
}

#[derive(Debug)]
struct Reduction;

impl<B: Backend> Backward<B, 1> for Reduction
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = Group;

    fn backward(self, ops: Ops<Group, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = summed::<B>(grads.consume::<B>(&ops.node), &ops.state);
        let [node] = ops.parents;
        if let Some(node) = node {
            grads.register::<B>(node.id, gradient);
        }
    }
}
