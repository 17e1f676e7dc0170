//! Long pieces of memory, cut from slabs.
//!
//! A request takes the first free range that is long enough, and a freed range joins its free neighbours. A step frees its tensors
//! almost in the reverse order of their making, so there is little between the ranges that nobody can use.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use super::lock;
use crate::ops::cpu::simd::{LANES, Lanes};

/// Pixels of the first slab: 64 MB (our choice). The system provides pages when they are first written.
const SLAB: usize = 1 << 20;

static ARENA: Mutex<Arena> = Mutex::new(Arena { slabs: Vec::new() });

/// Pixels between ranges. Tensors whose lengths are powers of two would lie in the same places of caches, in which a loop over
/// several of them then finds little room.
const GAP: usize = 5;

/// Memory with arbitrary contents, which is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Range(&'static mut [Lanes]);

impl Range {
    pub(super) fn new(len: usize) -> Self {
        Self(lock(&ARENA).take(len + GAP))
    }
}

impl Deref for Range {
    type Target = [Lanes];
    fn deref(&self) -> &[Lanes] {
        &self.0[..self.0.len() - GAP]
    }
}

impl DerefMut for Range {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        let len = self.0.len() - GAP;
        &mut self.0[..len]
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        lock(&ARENA).give(take(&mut self.0));
    }
}

#[derive(Debug)]
struct Arena {
    slabs: Vec<Slab>,
}

impl Arena {
    fn take(&mut self, len: usize) -> &'static mut [Lanes] {
        if let Some(found) = self.slabs.iter_mut().find_map(|slab| slab.take(len)) {
            return found;
        }
        // As long as all others together, so that there are few, between which no ranges join.
        let all: usize = self.slabs.iter().map(|slab| slab.len).sum();
        let mut slab = Slab::new(len.max(all).max(SLAB));
        let found = slab.take(len).expect("it is as long as that");
        self.slabs.push(slab);
        found
    }

    fn give(&mut self, range: &'static mut [Lanes]) {
        let slab = self.slabs.iter_mut().find(|slab| slab.has(range));
        slab.expect("ranges are of a slab").give(range);
    }
}

/// Memory that is never given back to the system.
#[derive(Debug)]
struct Slab {
    first: *mut Lanes,
    len: usize,
    /// Start and length of the free ranges. No two of them touch.
    free: BTreeMap<usize, usize>,
}

#[allow(unsafe_code)] // a pointer to memory that nothing else knows
// SAFETY: whoever has the slab may hand out its free ranges, on any thread.
unsafe impl Send for Slab {}

impl Slab {
    fn new(len: usize) -> Self {
        // A vector of numbers is all zeros without being written, which one of pixels is not.
        let values = vec![0.0_f32; (len + 1) * LANES].leak();
        let start = values.as_ptr().align_offset(align_of::<Lanes>());
        let pixels = Lanes::of_values_mut(&mut values[start..][..len * LANES]).expect("aligned");
        Self { first: pixels.as_mut_ptr(), len, free: BTreeMap::from([(0, len)]) }
    }

    fn take(&mut self, len: usize) -> Option<&'static mut [Lanes]> {
        let (&start, &found) = self.free.iter().find(|&(_, &found)| found >= len)?;
        self.free.remove(&start);
        if found > len {
            self.free.insert(start + len, found - len);
        }
        #[allow(unsafe_code)] // a part of the slab
        // SAFETY: the range lies in the slab, whose values are initialised and stay for ever. It was free, and is not any more: nobody
        // else has a part of it until `give` takes it back.
        Some(unsafe { std::slice::from_raw_parts_mut(self.first.add(start), len) })
    }

    fn has(&self, range: &[Lanes]) -> bool {
        (self.first.addr()..self.first.addr() + self.len * size_of::<Lanes>())
            .contains(&range.as_ptr().addr())
    }

    /// The range has to be one that [`take`](Self::take) gave.
    fn give(&mut self, range: &'static mut [Lanes]) {
        let mut start = (range.as_ptr().addr() - self.first.addr()) / size_of::<Lanes>();
        let mut len = range.len();
        if let Some((&before, &of_before)) = self.free.range(..start).next_back()
            && before + of_before == start
        {
            self.free.remove(&before);
            start = before;
            len += of_before;
        }
        len += self.free.remove(&(start + len)).unwrap_or(0);
        self.free.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_apart_and_become_one_again_in_any_order() {
        let mut arena = Arena { slabs: vec![Slab::new(60)] };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut ranges: Vec<_> = [10, 20, 7, 23].into_iter().map(|len| Some(arena.take(len))).collect();
            for (index, range) in ranges.iter_mut().flatten().enumerate() {
                range.fill(Lanes([index as f32; LANES]));
            }
            for (index, range) in ranges.iter().flatten().enumerate() {
                assert!(range.iter().all(|pixel| pixel.0 == [index as f32; LANES]), "range {index}");
            }
            assert!(arena.slabs[0].free.is_empty());
            order.into_iter().for_each(|index| arena.give(ranges[index].take().expect("given once")));
            assert_eq!(arena.slabs[0].free, BTreeMap::from([(0, 60)]));
        }
        assert_eq!(arena.slabs.len(), 1);
    }

    #[test]
    fn the_first_range_that_is_long_enough_is_taken() {
        let mut arena = Arena { slabs: vec![Slab::new(30)] };
        let [first, second, third] = [10, 5, 15].map(|len| arena.take(len));
        let (at_first, at_third) = (first.as_ptr(), third.as_ptr());
        arena.give(first);
        arena.give(third);
        let [short, long] = [4, 12].map(|len| arena.take(len));
        assert_eq!((short.as_ptr(), long.as_ptr()), (at_first, at_third));
        [short, long, second].into_iter().for_each(|range| arena.give(range));
    }

    #[test]
    fn what_fits_in_no_slab_gets_one_that_is_as_long_as_all_others() {
        let mut arena = Arena { slabs: vec![Slab::new(8)] };
        let ranges = [8, 16, SLAB - 16].map(|len| arena.take(len));
        assert_eq!(arena.slabs.iter().map(|slab| slab.len).collect::<Vec<_>>(), [8, SLAB]);
        ranges.into_iter().for_each(|range| arena.give(range));
        assert!(arena.slabs.iter().all(|slab| slab.free == BTreeMap::from([(0, slab.len)])));
    }

    #[test]
    fn pixels_of_a_range_begin_with_a_cache_line() {
        let range = Range::new(3);
        assert_eq!((range.as_ptr().addr() % 64, range.len()), (0, 3));
    }
}
