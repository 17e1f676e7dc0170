//! Sums over the planes of a piece, for each column.

// Unrolled loops over several arrays of the same length: the index shows which entries belong together.
#![allow(clippy::needless_range_loop)]

use super::layout::{Column, Layout};
use super::planes::{Gradient, Loaded};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector};

/// Pixels that are summed in float32 before the sum moves to float64, on four vectors side by side.
const RUN: usize = 64;
const SIDE: usize = 4;

/// `Σ a` and `Σ a · b` of every channel of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub(super) plain: [f64; LANES],
    pub(super) weighted: [f64; LANES],
}

const NOTHING: Sums = Sums { plain: [0.0; LANES], weighted: [0.0; LANES] };

/// The sums of all pieces, in their order.
pub(super) fn total(parts: &[Vec<Sums>], columns: usize) -> Vec<Sums> {
    let mut sums = vec![NOTHING; columns];
    for part in parts {
        for (sums, part) in sums.iter_mut().zip(part) {
            for lane in 0..LANES {
                sums.plain[lane] += part.plain[lane];
                sums.weighted[lane] += part.weighted[lane];
            }
        }
    }
    sums
}

/// Sums of `x − origin` and of its square.
pub(super) struct Deviations<'a> {
    pub(super) layout: Layout,
    pub(super) piece: usize,
    pub(super) x: &'a [Lanes],
    pub(super) origins: &'a [Lanes],
}

impl Job for Deviations<'_> {
    type Output = Vec<Sums>;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<Sums> {
        let mut sums = vec![NOTHING; self.layout.columns_count()];
        for (plane, x) in self.x.chunks_exact(self.layout.pixels).enumerate() {
            let column = self.layout.column(self.piece, plane);
            for part in 0..I::Wide::PARTS {
                let terms = Deviation { x, origin: I::Wide::load(&self.origins[column], part) };
                add(&mut sums[column], &terms, x.len(), part);
            }
        }
        sums
    }
}

/// Sums of the gradients behind ReLU, and of their products with `x − mean`.
pub(super) struct GradientSums<'a> {
    pub(super) layout: Layout,
    pub(super) piece: usize,
    pub(super) columns: &'a [Column],
    pub(super) gradient: Gradient<'a>,
}

impl Job for GradientSums<'_> {
    type Output = Vec<Sums>;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<Sums> {
        let mut sums = vec![NOTHING; self.layout.columns_count()];
        let pixels = self.layout.pixels;
        for plane in 0..self.gradient.dy.len() / pixels {
            let column = self.layout.column(self.piece, plane);
            let gradient = self.gradient.plane(plane, pixels);
            for part in 0..I::Wide::PARTS {
                let terms = Slope { gradient, column: Loaded::<I::Wide>::of(&self.columns[column], part) };
                add(&mut sums[column], &terms, pixels, part);
            }
        }
        sums
    }
}

/// The terms `a` and `b` of a plane.
trait Terms<V> {
    fn at(&self, pixel: usize, part: usize) -> [V; 2];
}

struct Deviation<'a, V> {
    x: &'a [Lanes],
    origin: V,
}

impl<V: Vector> Terms<V> for Deviation<'_, V> {
    #[inline(always)]
    fn at(&self, pixel: usize, part: usize) -> [V; 2] {
        [V::load(&self.x[pixel], part).sub(self.origin); 2]
    }
}

struct Slope<'a, V> {
    gradient: Gradient<'a>,
    column: Loaded<V>,
}

impl<V: Vector> Terms<V> for Slope<'_, V> {
    #[inline(always)]
    fn at(&self, pixel: usize, part: usize) -> [V; 2] {
        self.gradient.at(pixel, part, &self.column)
    }
}

/// Adds the sums of a plane.
#[inline(always)]
fn add<V: Vector>(sums: &mut Sums, terms: &impl Terms<V>, pixels: usize, part: usize) {
    let mut start = 0;
    while start < pixels {
        let end = pixels.min(start + RUN);
        let (mut plain, mut weighted) = ([V::splat(0.0); SIDE], [V::splat(0.0); SIDE]);
        let mut pixel = start;
        while pixel + SIDE <= end {
            for side in 0..SIDE {
                let [a, b] = terms.at(pixel + side, part);
                plain[side] = plain[side].add(a);
                weighted[side] = weighted[side].mul_add(a, b);
            }
            pixel += SIDE;
        }
        while pixel < end {
            let [a, b] = terms.at(pixel, part);
            plain[0] = plain[0].add(a);
            weighted[0] = weighted[0].mul_add(a, b);
            pixel += 1;
        }
        move_on(&mut sums.plain, plain, part);
        move_on(&mut sums.weighted, weighted, part);
        start = end;
    }
}

/// Adds sums in float32 to those in float64.
#[inline(always)]
fn move_on<V: Vector>(sums: &mut [f64; LANES], vectors: [V; SIDE], part: usize) {
    let mut lanes = Lanes::default();
    vectors[0].add(vectors[1]).add(vectors[2].add(vectors[3])).store(&mut lanes, part);
    let lanes_of_part = LANES / V::PARTS;
    for lane in part * lanes_of_part..(part + 1) * lanes_of_part {
        sums[lane] += f64::from(lanes.0[lane]);
    }
}
