//! Reuses the memory of freed tensors.
//!
//! Every step creates tensors of the same sizes. The system's allocator returns large blocks to the kernel, which
//! clears their pages again at the next use; on a virtual machine that took longer than the convolutions themselves.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::simd::{LANES, Lanes};

/// Vectors with fewer values are left to the system's allocator.
const SMALL: usize = 1 << 14;

static VALUES: Mutex<FreeLists<f32>> = Mutex::new(FreeLists::new());
/// Apart from scratch memory, since these lengths return in every step.
static PIXELS: Mutex<FreeLists<Lanes>> = Mutex::new(FreeLists::new());
static SCRATCH: Mutex<FreeLists<Lanes>> = Mutex::new(FreeLists::new());

/// A vector with arbitrary contents, all of which the caller must overwrite.
pub(in crate::ops) fn any_values(len: usize) -> Vec<f32> {
    if len < SMALL { vec![0.0; len] } else { lock(&VALUES).take(len, len) }
}

/// Memory of a job for values, arbitrary ones at first, which returns to the pool when it is dropped.
pub(super) fn room(len: usize) -> Pooled {
    any_values(len).into()
}

/// Pixels with arbitrary contents, all of which the caller must overwrite.
pub(super) fn any_pixels(len: usize) -> Vec<Lanes> {
    if len < SMALL / LANES { vec![Lanes::default(); len] } else { lock(&PIXELS).take(len, len) }
}

/// The values of a tensor, whose memory returns to the pool when they are dropped.
#[derive(Debug)]
pub(in crate::ops) struct Pooled(Memory);

#[derive(Debug)]
enum Memory {
    Values(Vec<f32>),
    Pixels(Vec<Lanes>),
}

impl From<Vec<f32>> for Pooled {
    fn from(values: Vec<f32>) -> Self {
        Self(Memory::Values(values))
    }
}

impl From<Vec<Lanes>> for Pooled {
    fn from(pixels: Vec<Lanes>) -> Self {
        Self(Memory::Pixels(pixels))
    }
}

impl Deref for Pooled {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &self.0 {
            Memory::Values(values) => values,
            Memory::Pixels(pixels) => Lanes::values(pixels),
        }
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Memory::Values(values) => values,
            Memory::Pixels(pixels) => Lanes::values_mut(pixels),
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        match &mut self.0 {
            Memory::Values(values) if values.len() >= SMALL => lock(&VALUES).give(take(values)),
            Memory::Pixels(pixels) if pixels.len() >= SMALL / LANES => lock(&PIXELS).give(take(pixels)),
            _ => {}
        }
    }
}

/// Scratch memory with arbitrary contents, which returns to the pool when it is dropped.
pub(super) fn scratch(len: usize) -> Scratch {
    // Rounded up, and possibly longer than asked for, so that few vectors serve all shapes.
    let size = len.next_power_of_two();
    Scratch { memory: lock(&SCRATCH).take(size, 8 * size), len }
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
        lock(&SCRATCH).give(take(&mut self.memory));
    }
}

fn lock<T>(lists: &Mutex<FreeLists<T>>) -> MutexGuard<'_, FreeLists<T>> {
    // No code that runs under the lock can leave the lists inconsistent.
    lists.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Free vectors by their length.
#[derive(Debug)]
struct FreeLists<T> {
    free: BTreeMap<usize, Vec<Vec<T>>>,
    /// Number of values in free vectors.
    kept: usize,
    /// Number of values in vectors in use.
    used: usize,
    /// The highest value of `used` so far.
    peak: usize,
}

impl<T: Copy + Default> FreeLists<T> {
    const fn new() -> Self {
        Self { free: BTreeMap::new(), kept: 0, used: 0, peak: 0 }
    }

    /// A vector of `least` values, or a free one with up to `most`.
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
        // Keeps the sum of free and used memory close to the peak of what was used at once.
        if self.kept + self.used + len <= self.peak + self.peak / 2 {
            self.kept += len;
            self.free.entry(len).or_default().push(vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_serves_the_next_of_its_size() {
        let len = SMALL + 12_345;
        let values = any_values(len);
        let address = values.as_ptr();
        drop(Pooled::from(values));
        let again = any_values(len);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn the_values_of_pixels_begin_with_a_cache_line() {
        for len in [0, 3, SMALL] {
            let values = Pooled::from(any_pixels(len));
            assert_eq!((values.len(), values.as_ptr() as usize % 64), (len * 16, 0));
        }
    }

    #[test]
    fn free_memory_is_bounded_by_what_was_once_in_use() {
        let mut lists = FreeLists::<f32>::new();
        for len in 1..100 {
            let vector = lists.take(len, len);
            lists.give(vector);
            assert!(lists.kept + lists.used <= lists.peak + lists.peak / 2, "after {len}");
        }
    }
}
