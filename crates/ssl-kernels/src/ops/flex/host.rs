//! Tensors of `flex` as values in memory.

use std::mem::MaybeUninit;

use burn::backend::DType;
use burn_flex::{Flex, FlexTensor, Layout};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use crate::ops::cpu::shares::on_rayon;
use crate::ops::cpu::{Host, Pooled};

impl Host for Flex {
    fn contiguous(tensor: &FlexTensor) -> FlexTensor {
        tensor.to_contiguous()
    }

    fn values(tensor: &FlexTensor) -> &[f32] {
        tensor.as_slice::<f32>().expect("made contiguous before")
    }

    fn own_values(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
        let whole = tensor.is_unique()
            && tensor.is_contiguous()
            && tensor.layout().start_offset() == 0
            && tensor.storage::<f32>().len() == tensor.layout().num_elements();
        whole.then(|| tensor.storage_mut::<f32>())
    }

    fn parallel(count: usize, job: &(dyn Fn(usize) + Sync)) {
        on_rayon(count, job);
    }

    fn threads() -> usize {
        rayon::current_num_threads()
    }

    fn tensor(values: Pooled, shape: &[usize]) -> FlexTensor {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "a tensor of shape {shape:?}");
        let len = size_of_val(&*values);
        #[allow(unsafe_code)] // Burn's constructor for memory of one's own
        // SAFETY: all of a vector's values are initialised, and `Pooled` keeps its vector until it is dropped.
        let bytes = unsafe { Bytes::from_controller(Box::new(Memory(values)), len) };
        FlexTensor::new(bytes, Layout::contiguous(shape.to_vec().into()), DType::F32)
    }
}

/// The memory of a tensor.
struct Memory(Pooled);

impl AllocationController for Memory {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)] // the trait's signature; the caller promises to write initialised bytes only
    unsafe fn memory_mut(&mut self, _policy: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&*self.0);
        // SAFETY: the same memory as initialised bytes, with the same borrow; the caller writes only initialised bytes.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }

    #[allow(unsafe_code)] // a view of values as bytes
    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&*self.0);
        // SAFETY: the same memory as possibly uninitialised bytes, all of which are initialised.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::any_values;

    #[test]
    fn the_memory_of_a_freed_tensor_serves_the_next() {
        let len = (1 << 16) + 12_349;
        let tensor = Flex::tensor(vec![0.0; len].into(), &[len]);
        let address = Flex::values(&tensor).as_ptr();
        drop(tensor);
        let next = any_values(len);
        assert_eq!(next.as_ptr(), address);
    }

    #[test]
    fn a_tensor_can_be_read_changed_and_copied() {
        for len in [3, 1 << 16] {
            let mut one = Flex::tensor(vec![1.0; len].into(), &[len]);
            let copy = one.clone();
            assert!(Flex::own_values(&mut one).is_none(), "the copy reads them");
            one.storage_mut::<f32>()[2] = 2.0;
            assert_eq!((one.storage::<f32>()[2], copy.storage::<f32>()[2]), (2.0, 1.0));
            Flex::own_values(&mut one).expect("alone now")[1] = 3.0;
            assert_eq!(Flex::values(&one)[..3], [1.0, 3.0, 2.0]);
        }
    }
}
