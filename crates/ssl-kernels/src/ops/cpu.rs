//! Our own loops over float32 values, for backends that keep their tensors in the memory of this process.
//!
//! Burn's generic backward pass of a convolution is two more convolutions, one of them with a kernel as large as the
//! image, and its batch norm is a dozen element-wise passes. The order of every sum here is independent of the number
//! of threads, so results are bit-identical on machines of any size.

mod adamw;
mod attention;
mod attention_half;
mod average;
mod batch_norm;
mod batch_norm_pixels;
mod contrast;
mod conv;
mod cross_entropies;
mod depthwise_conv;
mod exponentials;
mod feed_forward;
mod layer_norm;
mod linear;
mod matrix;
mod max_pool;
mod normal;
mod panels;
mod parallel;
mod pixels;
mod pool;
mod products;
mod rows_of_length;
mod scalar_product;
mod sgd;
pub(super) mod shares;
mod simd;
mod sum_of_squares;
#[cfg(all(test, feature = "flex"))]
mod thread_tests;
#[cfg(all(test, feature = "flex"))]
mod transformer_tests;
mod weight;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor, TensorMetadata};

use super::any_rank::AnyRank;

pub(super) use adamw::adamw;
pub(super) use attention::attend;
pub(super) use attention_half::attention_half;
pub(super) use average::average;
pub(super) use batch_norm::batch_norm_train;
pub(super) use batch_norm_pixels::{Norm, Origin, batch_norm_eval_of_pixels, batch_norm_of_pixels};
pub(super) use contrast::contrast;
pub(super) use conv::{Window, conv2d, conv2d_batch_norm_eval, conv2d_of_pixels, conv2d_of_planes};
pub(super) use cross_entropies::cross_entropies;
pub(super) use depthwise_conv::{KERNEL as DEPTHWISE_KERNEL, depthwise_conv2d};
pub(super) use feed_forward::feed_forward;
pub(super) use layer_norm::layer_norm;
pub(super) use linear::linear;
pub(super) use max_pool::{Square, max_pool2d_of_pixels};
pub(super) use pixels::{pixels_of_planes, planes_of_pixels};
pub(super) use pool::Pooled;
pub(super) use pool::any_values;
pub(super) use rows_of_length::rows_of_length;
pub(super) use sgd::sgd_momentum;
#[cfg(all(test, feature = "flex"))]
pub(super) use simd::alone;
pub(crate) use simd::instructions;
pub(super) use sum_of_squares::{layer_squares, sum_of_squares};

/// A backend whose float32 tensors are in the memory of this process.
pub(super) trait Host: Backend {
    /// The tensor with contiguous values in the order of its axes.
    fn contiguous(tensor: &FloatTensor<Self>) -> FloatTensor<Self>;

    /// The values of a contiguous tensor.
    fn values(tensor: &FloatTensor<Self>) -> &[f32];

    /// Mutable access to the values, if they are contiguous and not shared.
    fn own_values(tensor: &mut FloatTensor<Self>) -> Option<&mut [f32]>;

    /// Calls `job` once for every index below `count`, on the threads used by the backend's own operations.
    fn parallel(count: usize, job: &(dyn Fn(usize) + Sync));

    /// The number of threads of [`parallel`](Self::parallel).
    fn threads() -> usize;

    /// Creates a tensor over the given values, whose memory returns to the pool when it is dropped.
    ///
    /// # Panics
    /// If the shape does not match the number of values.
    fn tensor(values: Pooled, shape: &[usize]) -> FloatTensor<Self>;
}

/// Conversions between Burn's tensors and those of a backend, with and without gradients.
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

/// A tensor with its place in the graph; a tensor without gradients becomes a constant.
pub(super) fn tracked<B: Host>(tensor: impl Into<AnyRank>) -> FloatTensor<Tracked<B>>
where
    DispatchTensor: Bridge<B>,
{
    tensor.into().tracked().primitive::<Tracked<B>>()
}

/// A tensor of the given values.
fn tensor<B: Host>(values: impl Into<Pooled>, shape: impl AsRef<[usize]>) -> FloatTensor<B> {
    B::tensor(values.into(), shape.as_ref())
}

/// The sums of the elements of all `parts`, each `length` long, in their order.
fn total<'a>(length: usize, parts: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sums = vec![0.0_f64; length];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// The tensor itself, or a copy, whose values may be changed.
fn owned<B: Host>(mut tensor: FloatTensor<B>) -> FloatTensor<B> {
    if B::own_values(&mut tensor).is_some() {
        return tensor;
    }
    let mut values = any_values(tensor.shape().num_elements());
    values.copy_from_slice(B::values(&B::contiguous(&tensor)));
    self::tensor::<B>(values, tensor.shape().to_vec())
}

/// Whether something else holds the values of a tensor of `flex`.
#[cfg(all(test, feature = "flex"))]
pub(super) fn is_shared<const D: usize>(tensor: burn::tensor::Tensor<D>) -> bool {
    burn_flex::Flex::own_values(&mut AnyRank::from(tensor).primitive::<burn_flex::Flex>()).is_none()
}
