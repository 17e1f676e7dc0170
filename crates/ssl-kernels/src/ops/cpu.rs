//! Loops of our own over float32 values in the memory of this process, for the backends that keep their tensors there.
//!
//! Burn's generic backward pass of a convolution is two further convolutions, one of them with a kernel as large as the
//! image, and its batch norm is a dozen element-wise passes. All sums have an order that does not depend on the number of
//! threads, so results are the same bits on every machine size.

mod batch_norm;
mod conv;
mod parallel;
mod pool;
mod sgd;
mod simd;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

pub(super) use batch_norm::batch_norm_train;
pub(super) use conv::conv2d;
pub(super) use pool::Pooled;
pub(super) use pool::any_values;
pub(super) use sgd::sgd_momentum;
#[cfg(all(test, feature = "flex"))]
pub(super) use simd::alone;
pub(crate) use simd::instructions;

/// A backend whose tensors of float32 are memory of this process.
pub(super) trait Host: Backend {
    /// The tensor with its values side by side in the order of its axes.
    fn contiguous(tensor: &FloatTensor<Self>) -> FloatTensor<Self>;

    /// The values of a contiguous tensor.
    fn values(tensor: &FloatTensor<Self>) -> &[f32];

    /// The values to be changed, if they are contiguous and nobody else reads them.
    fn own_values(tensor: &mut FloatTensor<Self>) -> Option<&mut [f32]>;

    /// Calls `job` once for every index below `count`, on the threads that the backend's own operations use.
    fn parallel(count: usize, job: &(dyn Fn(usize) + Sync));

    /// A tensor over the given values, which gives their memory back to the pool in the end.
    ///
    /// # Panics
    /// If the shape is one of another number of values.
    fn tensor(values: Pooled, shape: &[usize]) -> FloatTensor<Self>;
}

/// Ways between Burn's tensors and those of a backend, with and without gradients.
pub(super) trait Bridge<B: Backend>:
    DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>
{
}

impl<B: Backend> Bridge<B> for DispatchTensor where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Tracked<B>>
{
}

/// A backend with gradients.
pub(super) type Tracked<B> = Autodiff<B, NoCheckpointing>;

/// A tensor with its place in the graph; one without gradients becomes a constant there.
pub(super) fn tracked<B: Host, const D: usize>(tensor: Tensor<D>) -> FloatTensor<Tracked<B>>
where
    DispatchTensor: Bridge<B>,
{
    let tensor = if tensor.device().is_autodiff() { tensor } else { Tensor::from_inner(tensor) };
    tensor.try_into_primitive::<Tracked<B>>().expect("the device was checked")
}

/// A tensor of the given values.
fn tensor<B: Host>(values: Vec<f32>, shape: impl AsRef<[usize]>) -> FloatTensor<B> {
    B::tensor(Pooled::from(values), shape.as_ref())
}

/// The tensor, or a copy of it, whose values may be changed.
fn owned<B: Host>(mut tensor: FloatTensor<B>) -> FloatTensor<B> {
    if B::own_values(&mut tensor).is_some() {
        return tensor;
    }
    let mut values = any_values(tensor.shape().num_elements());
    values.copy_from_slice(B::values(&B::contiguous(&tensor)));
    self::tensor::<B>(values, tensor.shape().to_vec())
}
