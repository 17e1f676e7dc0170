//! Sums over a batch, of which pieces have sums of their own: what a thread has just made, it sums out of its cache.

use super::geometry::Geometry;
use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::{each, map};
use crate::ops::cpu::pool::{Room, scratch};
use crate::ops::cpu::simd::{Instructions, Job, Lanes, Vector, dispatch};

/// Pieces of a batch, if it has as many images: jobs for any number of threads.
const PIECES: usize = 16;
/// Sums that are added in a job.
const PART: usize = 1024;

/// The `count` sums of all pieces of images and gradients, added in order; zeros without images.
pub(super) fn sum_pieces<B: Host>(
    g: &Geometry,
    count: usize,
    x: &[Lanes],
    dy: &[Lanes],
    work: impl Fn(&[Lanes], &[Lanes]) -> Room + Sync,
) -> Room {
    let images = (x.len() / g.image_in()).div_ceil(PIECES).max(1);
    let pieces = x.chunks(images * g.image_in()).zip(dy.chunks(images * g.image_out()));
    let mut parts = map::<B, _, _>(pieces, |(x, dy)| work(x, dy)).into_iter();
    let mut sums = parts.next().unwrap_or_else(|| zeros(count));
    let others: Vec<Room> = parts.collect();
    each::<B, _>(sums.chunks_mut(PART).enumerate(), |(index, sums)| {
        others.iter().for_each(|other| dispatch(Add { to: sums, values: &other[PART * index..] }));
    });
    sums
}

/// Room memory of zeros.
pub(super) fn zeros(count: usize) -> Room {
    let mut zeros = scratch(count);
    zeros.fill(Lanes::default());
    zeros
}

/// Adds `values` to as many others.
struct Add<'a> {
    to: &'a mut [Lanes],
    values: &'a [Lanes],
}

impl Job for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (to, value) in self.to.iter_mut().zip(self.values) {
            for part in 0..I::Wide::PARTS {
                I::Wide::load(to, part).add(I::Wide::load(value, part)).store(to, part);
            }
        }
    }
}
