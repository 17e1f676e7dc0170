//! Packing planes into pixels of sixteen channels, and back.

// Unrolled loops over several arrays of the same length: the index shows which entries belong together.
#![allow(clippy::needless_range_loop)]

use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::each;
use crate::ops::cpu::pool::{Pooled, Room, any_pixels, any_values};
use crate::ops::cpu::simd::{Eight, Instructions, Job, LANES, Lanes, dispatch};

/// `[image, block, pixel]` of `[image, channel, pixel]`; missing channels become 0.
pub(in crate::ops::cpu) fn packed<B: Host>(planes: &[f32], channels: usize, pixels: usize) -> Room {
    let blocks = channels.div_ceil(LANES);
    let images = planes.len() / (channels * pixels).max(1);
    let mut packed = any_pixels(images * blocks * pixels);
    let jobs = planes.chunks(channels * pixels).zip(packed.chunks_mut(blocks * pixels));
    each::<B, _>(jobs, |(planes, to)| dispatch(Pack { planes, pixels, to }));
    packed
}

/// The inverse of [`packed`].
pub(in crate::ops::cpu) fn unpacked<B: Host>(packed: &[Lanes], channels: usize, pixels: usize) -> Pooled {
    let blocks = channels.div_ceil(LANES);
    let images = packed.len() / (blocks * pixels).max(1);
    let mut planes = any_values(images * channels * pixels);
    let jobs = packed.chunks(blocks * pixels).zip(planes.chunks_mut(channels * pixels));
    each::<B, _>(jobs, |(packed, to)| dispatch(Unpack { packed, pixels, to }));
    planes
}

struct Pack<'a> {
    planes: &'a [f32],
    pixels: usize,
    to: &'a mut [Lanes],
}

impl Job for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        // No closure: it would not be compiled for the instruction set.
        for (planes, to) in self.planes.chunks(LANES * self.pixels).zip(self.to.chunks_exact_mut(self.pixels))
        {
            pack::<I::Eight>(planes, to);
        }
    }
}

struct Unpack<'a> {
    packed: &'a [Lanes],
    pixels: usize,
    to: &'a mut [f32],
}

impl Job for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        // As above.
        for (packed, to) in self.packed.chunks_exact(self.pixels).zip(self.to.chunks_mut(LANES * self.pixels))
        {
            unpack::<I::Eight>(packed, to);
        }
    }
}

/// Packs at most sixteen planes.
#[inline(always)]
fn pack<V: Eight>(planes: &[f32], pixels: &mut [Lanes]) {
    let count = pixels.len();
    let channels = planes.len() / count;
    for half in 0..2 {
        let first = half * 8;
        let (blocks, rest) = pixels.as_chunks_mut::<8>();
        let whole = blocks.len() * 8;
        for (i, pixels) in blocks.iter_mut().enumerate() {
            let mut rows = [V::splat(0.0); 8];
            for c in 0..8.min(channels.saturating_sub(first)) {
                if let Some(row) = planes[(first + c) * count + i * 8..].first_chunk::<8>() {
                    rows[c] = V::load_slice(row);
                }
            }
            let columns = V::transpose(rows);
            for p in 0..8 {
                columns[p].store(&mut pixels[p], half);
            }
        }
        for (i, pixel) in rest.iter_mut().enumerate() {
            for c in first..first + 8 {
                pixel.0[c] = if c < channels { planes[c * count + whole + i] } else { 0.0 };
            }
        }
    }
}

/// The inverse of [`pack`].
#[inline(always)]
fn unpack<V: Eight>(pixels: &[Lanes], planes: &mut [f32]) {
    let count = pixels.len();
    let channels = planes.len() / count;
    for half in 0..channels.div_ceil(8).min(2) {
        let first = half * 8;
        let (blocks, rest) = pixels.as_chunks::<8>();
        let whole = blocks.len() * 8;
        for (i, pixels) in blocks.iter().enumerate() {
            let mut columns = [V::splat(0.0); 8];
            for p in 0..8 {
                columns[p] = V::load(&pixels[p], half);
            }
            let rows = V::transpose(columns);
            for c in 0..8.min(channels - first) {
                if let Some(row) = planes[(first + c) * count + i * 8..].first_chunk_mut::<8>() {
                    rows[c].store_slice(row);
                }
            }
        }
        for (i, pixel) in rest.iter().enumerate() {
            for c in first..channels.min(first + 8) {
                planes[c * count + whole + i] = pixel.0[c];
            }
        }
    }
}
