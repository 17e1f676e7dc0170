//! Reuses the memory of freed tensors.
//!
//! Every step creates tensors of the same sizes. The system's allocator returns large blocks to the kernel, which
//! clears their pages again at the next use; on a virtual machine that took longer than the convolutions themselves.
//!
//! Long pieces are ranges of an [`arena`], where freed neighbours become one, so that lengths of the forward pass serve those of the
//! backward pass. Short ones are vectors, which are free for others of their length.

mod arena;

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::simd::{LANES, Lanes};
use arena::Range;

/// Vectors with fewer values are left to the system's allocator.
const SMALL: usize = 1 << 14;

/// Values from which memory is a range of the arena: 1 MB (our choice). Jobs of one operation ask for shorter pieces, many at a time.
const LONG: usize = 1 << 18;

static VALUES: Mutex<FreeLists<f32>> = Mutex::new(FreeLists::new());
/// Apart from scratch memory, since these lengths return in every step.
static PIXELS: Mutex<FreeLists<Lanes>> = Mutex::new(FreeLists::new());
static SCRATCH: Mutex<FreeLists<Lanes>> = Mutex::new(FreeLists::new());

/// Arbitrary values, all of which the caller must overwrite.
pub(in crate::ops) fn any_values(len: usize) -> Pooled {
    match len {
        ..SMALL => vec![0.0; len].into(),
        SMALL..LONG => lock(&VALUES).take(len, len).into(),
        LONG.. => Pooled(Memory::Range(Range::new(len.div_ceil(LANES)), len)),
    }
}

/// Arbitrary pixels, all of which the caller must overwrite.
pub(super) fn any_pixels(len: usize) -> Room {
    match len * LANES {
        ..SMALL => Room { lines: Lines::Vector(vec![Lanes::default(); len], None), len },
        SMALL..LONG => Room { lines: Lines::Vector(lock(&PIXELS).take(len, len), Some(&PIXELS)), len },
        LONG.. => Room { lines: Lines::Range(Range::new(len)), len },
    }
}

/// Arbitrary pixels, of lengths that differ from operation to operation.
pub(super) fn scratch(len: usize) -> Room {
    if len * LANES >= LONG {
        return any_pixels(len);
    }
    // Rounded up, and possibly longer than asked for, so that few vectors serve all shapes.
    let size = len.next_power_of_two();
    Room { lines: Lines::Vector(lock(&SCRATCH).take(size, 8 * size), Some(&SCRATCH)), len }
}

/// Values whose memory returns to the pool when they are dropped.
#[derive(Debug)]
pub(in crate::ops) struct Pooled(Memory);

#[derive(Debug)]
enum Memory {
    Values(Vec<f32>),
    Pixels(Room),
    /// So many values of a range.
    Range(Range, usize),
}

impl From<Vec<f32>> for Pooled {
    fn from(values: Vec<f32>) -> Self {
        Self(Memory::Values(values))
    }
}

impl From<Room> for Pooled {
    fn from(pixels: Room) -> Self {
        Self(Memory::Pixels(pixels))
    }
}

impl Deref for Pooled {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &self.0 {
            Memory::Values(values) => values,
            Memory::Pixels(pixels) => Lanes::values(pixels),
            Memory::Range(pixels, len) => &Lanes::values(pixels)[..*len],
        }
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Memory::Values(values) => values,
            Memory::Pixels(pixels) => Lanes::values_mut(pixels),
            Memory::Range(pixels, len) => &mut Lanes::values_mut(pixels)[..*len],
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Memory::Values(values) = &mut self.0
            && (SMALL..LONG).contains(&values.len())
        {
            lock(&VALUES).give(take(values));
        }
    }
}

/// Pixels whose memory returns to the pool when they are dropped.
#[derive(Debug)]
pub(super) struct Room {
    lines: Lines,
    len: usize,
}

#[derive(Debug)]
enum Lines {
    /// A vector, and the list that it is from.
    Vector(Vec<Lanes>, Option<&'static Mutex<FreeLists<Lanes>>>),
    Range(Range),
}

impl Deref for Room {
    type Target = [Lanes];
    fn deref(&self) -> &[Lanes] {
        match &self.lines {
            Lines::Vector(pixels, _) => &pixels[..self.len],
            Lines::Range(pixels) => pixels,
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        match &mut self.lines {
            Lines::Vector(pixels, _) => &mut pixels[..self.len],
            Lines::Range(pixels) => pixels,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Lines::Vector(pixels, Some(list)) = &mut self.lines {
            lock(list).give(take(pixels));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that runs under a lock can leave lists or slabs inconsistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        // No other test asks for such a length.
        let len = SMALL + 12_345;
        let values = any_values(len);
        let address = values.as_ptr();
        drop(values);
        let again = any_values(len);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn the_values_of_pixels_begin_with_a_cache_line() {
        for len in [0, 3, SMALL / LANES, LONG / LANES + 1] {
            let values = Pooled::from(any_pixels(len));
            assert_eq!((values.len(), values.as_ptr() as usize % 64), (len * 16, 0));
        }
    }

    #[test]
    fn values_and_scratch_memory_are_as_long_as_asked_for() {
        for len in [0, 5, SMALL, LONG - 1, LONG, LONG + 5] {
            assert_eq!((any_values(len).len(), scratch(len / LANES).len()), (len, len / LANES));
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
