//! libtorch's tensors, for engines that are part of libtorch (feature `tch`).

#![allow(deprecated)] // Burn deprecates its libtorch backend, which is the reason for pinning this version of Burn

use std::ffi::c_void;

use burn::backend::LibTorch;
use burn::tensor::{Device, Tensor};
use burn_tch::TchTensor;

/// Whether tensors of a device are libtorch's, on a CUDA GPU.
pub fn is_nvidia_gpu(device: &Device) -> bool {
    let probe = Tensor::<1>::zeros([1], device);
    probe.try_into_primitive::<LibTorch>().is_ok_and(|probe| probe.tensor.device().is_cuda())
}

/// Calls `work` with the address of a libtorch tensor (`at::Tensor*`) that is a copy of `x`, and whose values it may change; returns
/// that copy.
///
/// # Panics
/// If `x` is of another backend, or has gradients.
pub fn in_place<const D: usize>(x: Tensor<D>, work: impl FnOnce(*mut c_void)) -> Tensor<D> {
    let x = x.try_into_primitive::<LibTorch>().expect("a tensor of libtorch without gradients");
    let mut copy = x.tensor.contiguous().copy();
    work(copy.as_mut_ptr().cast());
    Tensor::from_primitive::<LibTorch>(TchTensor::new(copy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn what_is_changed_is_a_copy() {
        let device = DeviceSpec::Tch.open().expect("libtorch has a CPU");
        let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
        let same = in_place(x.clone(), |address| assert!(!address.is_null()));
        assert_eq!(same.into_data(), x.into_data());
        assert!(!is_nvidia_gpu(&device));
    }
}
