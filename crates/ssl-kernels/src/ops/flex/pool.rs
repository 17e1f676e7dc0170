//! Memory of freed tensors for the next ones.
//!
//! Every step makes tensors of the same sizes. The system's allocator gives large blocks back to the kernel, which clears
//! their pages anew at the next use; on a virtual machine that took longer than the convolutions themselves.

use std::collections::BTreeMap;
use std::mem::{MaybeUninit, take};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn_flex::FlexTensor;
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use super::simd::Lanes;

/// Vectors of fewer values are left to the system's allocator.
const SMALL: usize = 1 << 14;

static VALUES: Mutex<Shelves<f32>> = Mutex::new(Shelves::new());
static LANES: Mutex<Shelves<Lanes>> = Mutex::new(Shelves::new());

/// A vector with any content: the caller writes all of it.
pub(super) fn any_values(len: usize) -> Vec<f32> {
    if len < SMALL { vec![0.0; len] } else { lock(&VALUES).take(len, len) }
}

/// A tensor of the given values, whose memory comes back here when it is freed.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    let shape = shape.into();
    assert_eq!(values.len(), shape.iter().product::<usize>(), "a tensor of shape {shape:?}");
    let len = size_of_val(values.as_slice());
    let bytes = if values.len() < SMALL {
        Bytes::from_elems(values)
    } else {
        #[allow(unsafe_code)] // Burn's constructor for memory of one's own
        // SAFETY: all of a vector's values are initialised, and `Pooled` keeps its vector until it is dropped.
        unsafe {
            Bytes::from_controller(Box::new(Pooled(values)), len)
        }
    };
    FlexTensor::new(bytes, burn_flex::Layout::contiguous(shape.into()), burn::backend::DType::F32)
}

/// Scratch memory with any content, which comes back here when it is dropped.
pub(super) fn scratch(len: usize) -> Scratch {
    // Rounded up, and content with more: few vectors serve all shapes.
    let size = len.next_power_of_two();
    Scratch { memory: lock(&LANES).take(size, 8 * size), len }
}

/// See [`scratch`].
#[derive(Debug)]
pub(super) struct Scratch {
    memory: Vec<Lanes>,
    len: usize,
}

impl Deref for Scratch {
    type Target = [Lanes];
    fn deref(&self) -> &[Lanes] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        &mut self.memory[..self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        lock(&LANES).give(take(&mut self.memory));
    }
}

fn lock<T>(shelves: &Mutex<Shelves<T>>) -> MutexGuard<'_, Shelves<T>> {
    // Nothing under the lock leaves the shelves half changed.
    shelves.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Free vectors by their length.
#[derive(Debug)]
struct Shelves<T> {
    free: BTreeMap<usize, Vec<Vec<T>>>,
    /// Values in free vectors.
    kept: usize,
    /// Values in vectors that are in use.
    used: usize,
    /// Most of those at any time.
    peak: usize,
}

impl<T: Copy + Default> Shelves<T> {
    const fn new() -> Self {
        Self { free: BTreeMap::new(), kept: 0, used: 0, peak: 0 }
    }

    /// A vector of `least` values, or a free one of up to `most`.
    fn take(&mut self, least: usize, most: usize) -> Vec<T> {
        let free = self.free.range_mut(least..=most).find_map(|(_, vectors)| vectors.pop());
        let len = free.as_ref().map_or(least, Vec::len);
        if free.is_some() {
            self.kept -= len;
        }
        self.used += len;
        self.peak = self.peak.max(self.used);
        free.unwrap_or_else(|| vec![T::default(); least])
    }

    fn give(&mut self, vector: Vec<T>) {
        let len = vector.len();
        self.used = self.used.saturating_sub(len);
        // What is kept and used together stays near what was once used at the same time.
        if self.kept + self.used + len <= self.peak + self.peak / 2 {
            self.kept += len;
            self.free.entry(len).or_default().push(vector);
        }
    }
}

/// The memory of a tensor.
struct Pooled(Vec<f32>);

impl Drop for Pooled {
    fn drop(&mut self) {
        lock(&VALUES).give(take(&mut self.0));
    }
}

impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)] // the trait's signature; the caller promises to write initialised bytes only
    unsafe fn memory_mut(&mut self, _policy: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = size_of_val(self.0.as_slice());
        // SAFETY: the same memory as initialised bytes, borrowed as long; the caller writes none that are not.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }

    #[allow(unsafe_code)] // a view of values as bytes
    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = size_of_val(self.0.as_slice());
        // SAFETY: the same memory as bytes, which may be uninitialised but are not.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_freed_tensor_serves_the_next_one_of_its_size() {
        let len = SMALL + 12_345;
        let values = any_values(len);
        let address = values.as_ptr();
        drop(tensor(values, [len]));
        let again = any_values(len);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn free_memory_is_bounded_by_what_was_once_in_use() {
        let mut shelves = Shelves::<f32>::new();
        for len in 1..100 {
            let vector = shelves.take(len, len);
            shelves.give(vector);
            assert!(shelves.kept + shelves.used <= shelves.peak + shelves.peak / 2, "after {len}");
        }
    }

    #[test]
    fn a_tensor_can_be_read_changed_and_copied() {
        let mut one = tensor(vec![1.0; SMALL], [SMALL]);
        let copy = one.clone();
        one.storage_mut::<f32>()[3] = 2.0;
        assert_eq!((one.storage::<f32>()[3], copy.storage::<f32>()[3]), (2.0, 1.0));
    }
}
