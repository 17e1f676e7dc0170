//! Tensors of libtorch on the CPU as values in memory.

#![allow(unsafe_code)] // libtorch hands out addresses

use burn_tch::{LibTorch, TchTensor};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use tch::{Device, Kind, Tensor};

use super::{native, threads};
use crate::ops::cpu::{Host, Pooled};

impl Host for LibTorch {
    fn contiguous(tensor: &TchTensor) -> TchTensor {
        TchTensor::from_existing(tensor.tensor.contiguous(), tensor.storage.clone())
    }

    fn values(tensor: &TchTensor) -> &[f32] {
        let len = checked(&tensor.tensor);
        if len == 0 {
            return &[]; // libtorch has no address for it
        }
        // SAFETY: `len` contiguous values are there as long as the tensor lives. Burn changes a tensor in place only if
        // it is not shared, and here it is borrowed.
        unsafe { from_raw_parts(tensor.tensor.data_ptr().cast(), len) }
    }

    fn own_values(tensor: &mut TchTensor) -> Option<&mut [f32]> {
        if !tensor.can_mut() || !tensor.tensor.is_contiguous() {
            return None;
        }
        let len = checked(&tensor.tensor);
        if len == 0 {
            return Some(&mut []);
        }
        // SAFETY: as for `values`, and the memory is not shared.
        Some(unsafe { from_raw_parts_mut(tensor.tensor.data_ptr().cast(), len) })
    }

    fn parallel(count: usize, job: &(dyn Fn(usize) + Sync)) {
        threads::parallel(count, job);
    }

    fn threads() -> usize {
        usize::try_from(tch::get_num_threads()).unwrap_or(1)
    }

    fn tensor(values: Pooled, shape: &[usize]) -> TchTensor {
        TchTensor::new(native::over_values(values, shape))
    }
}

/// The number of values of a tensor.
///
/// # Panics
/// If they are not contiguous float32 values in the memory of this process.
fn checked(tensor: &Tensor) -> usize {
    let (kind, device) = (tensor.kind(), tensor.device());
    assert_eq!((kind, device, tensor.is_contiguous()), (Kind::Float, Device::Cpu, true), "values in memory");
    tensor.numel()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::any_values;

    #[test]
    fn a_tensor_can_be_read_changed_and_copied() {
        for len in [3, 1 << 16] {
            let mut one = LibTorch::tensor(vec![1.0; len].into(), &[len]);
            let copy = one.clone();
            assert!(LibTorch::own_values(&mut one).is_none(), "the copy reads them");
            drop(copy);
            LibTorch::own_values(&mut one).expect("alone now")[1] = 3.0;
            assert_eq!(LibTorch::values(&one)[..3], [1.0, 3.0, 1.0]);
            assert_eq!(one.tensor.sum(Kind::Double).double_value(&[]), (len + 2) as f64);
        }
    }

    #[test]
    fn the_memory_of_a_freed_tensor_serves_the_next() {
        let len = (1 << 16) + 12_347;
        let tensor = LibTorch::tensor(vec![0.0; len].into(), &[len]);
        let address = LibTorch::values(&tensor).as_ptr();
        drop(tensor);
        let next = any_values(len);
        assert_eq!(next.as_ptr(), address);
    }

    #[test]
    fn values_of_a_transposed_tensor_come_in_the_order_of_its_axes() {
        let tensor = TchTensor::new(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0]).reshape([2, 2]).tr());
        assert_eq!(LibTorch::values(&LibTorch::contiguous(&tensor)), [1.0, 3.0, 2.0, 4.0]);
    }
}
