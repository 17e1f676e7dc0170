//! A scaled sum in one pass over the values, in place if nothing else uses them.

use burn::tensor::Tensor;
use burn_tch::LibTorch;

use super::native;

/// See [`add_scaled`](crate::ops::add_scaled); for tensors without gradients.
pub(in crate::ops) fn add_scaled<const D: usize>(a: Tensor<D>, b: Tensor<D>, factor: f64) -> Tensor<D> {
    let mut a = a.try_into_primitive::<LibTorch>().expect("the device was checked");
    let b = b.try_into_primitive::<LibTorch>().expect("the device was checked");
    let sum = a.mut_ops(|a| native::add_scaled_in_place(a, &b.tensor, factor));
    let sum =
        sum.unwrap_or_else(|| burn_tch::TchTensor::new(native::add_scaled(&a.tensor, &b.tensor, factor)));
    Tensor::from_primitive::<LibTorch>(sum)
}
