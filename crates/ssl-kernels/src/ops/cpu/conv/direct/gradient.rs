//! The gradient of the weights, read directly from packed images.
//!
//! Pieces of the batch have sums of their own, which are added in order: every tap reads pixels that are in a cache. Where these sums
//! would be larger than what is in a cache, one job sums a tap of all images of a chunk. The order of the sums does not depend
//! on the number of threads.

use super::super::field::Field;
use super::super::geometry::Geometry;
use super::super::pieces::{sum_pieces, zeros};
use super::super::product::sum_pixels;
use super::output_rows;
use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::each;
use crate::ops::cpu::pool::{Pooled, Room, any_values};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, dispatch};

/// Number of packed pixels of images and gradients held at once, in a chunk of images.
const CHUNK: usize = 1 << 17;
/// The same in a piece, in the second level of a cache.
const BAND: usize = 1 << 13;
/// The most pixels whose products are added up one after another: a sum of sums is more exact than one long sum.
const STRIP: usize = 256;

/// `[channel_out, channel_in, kernel, kernel]`
pub(in super::super) fn weight_gradient<B: Host>(g: &Geometry, x: &[Lanes], dy: &[Lanes]) -> Pooled {
    let taps = g.kernel * g.kernel;
    let field = Field::of_images(g);
    let rows = output_rows(g, &field);
    let [blocks_in, _] = g.blocks();
    let sums = if 2 * sums(g) <= BAND {
        let work = |x: &[Lanes], dy: &[Lanes]| dispatch(PieceSums { g, field: &field, rows: &rows, x, dy });
        sum_pieces::<B>(g, sums(g), x, dy, work)
    } else {
        of_chunks::<B>(g, &field, &rows, x, dy)
    };
    let mut dw = any_values(g.channels_out * g.channels_in * taps);
    each::<B, _>(dw.chunks_mut(g.channels_in * taps).enumerate(), |(k, dw)| {
        for (index, value) in dw.iter_mut().enumerate() {
            let (c, tap) = (index / taps, index % taps);
            *value =
                sums[((k / LANES * blocks_in + c / LANES) * taps + tap) * LANES + c % LANES].0[k % LANES];
        }
    });
    dw
}

/// The number of sums, `[block of outputs, block of inputs, tap, input, 16 outputs]`.
fn sums(g: &Geometry) -> usize {
    let [blocks_in, blocks_out] = g.blocks();
    blocks_out * blocks_in * g.kernel * g.kernel * LANES
}

/// The sums of all images.
fn of_chunks<B: Host>(g: &Geometry, field: &Field, rows: &[usize], x: &[Lanes], dy: &[Lanes]) -> Room {
    let (size_x, size_dy) = (g.blocks()[0] * field.area, g.image_out());
    let images = (CHUNK / (size_x + size_dy)).clamp(4, (x.len() / g.image_in()).max(4));
    let mut padded = zeros(if field.is_dense() { 0 } else { images * size_x });
    let mut sums = zeros(sums(g));
    let chunks = x.chunks(images * g.image_in()).zip(dy.chunks(images * g.image_out()));
    for (x, dy) in chunks {
        let x = match field.is_dense() {
            true => x,
            false => {
                let jobs = padded.chunks_mut(size_x).zip(x.chunks(g.image_in()));
                each::<B, _>(jobs, |(to, image)| field.fill(image, to));
                &padded[..x.len() / g.image_in() * size_x]
            }
        };
        each::<B, _>(sums.chunks_mut(LANES).enumerate(), |(index, sums)| {
            let tap = Tap::of(g, field, index);
            for (x, dy) in x.chunks_exact(size_x).zip(dy.chunks_exact(size_dy)) {
                dispatch(TapSum { tap, x, dy: &dy[tap.first..][..rows.len()], rows, sums: &mut *sums });
            }
        });
    }
    sums
}

/// A tap of a block of inputs, for a block of outputs.
#[derive(Clone, Copy)]
struct Tap {
    /// From the start of an output pixel's patch.
    offset: usize,
    /// Number of inputs.
    channels: usize,
    /// The first pixel of the outputs' gradient.
    first: usize,
}

impl Tap {
    #[inline(always)]
    fn of(g: &Geometry, field: &Field, index: usize) -> Self {
        let (taps, [blocks_in, _]) = (g.kernel * g.kernel, g.blocks());
        let (tap, block) = (index % taps, index / taps % blocks_in);
        Self {
            offset: block * field.area + tap / g.kernel * field.width + tap % g.kernel,
            channels: LANES.min(g.channels_in - block * LANES),
            first: index / taps / blocks_in * g.pixels_out(),
        }
    }
}

/// A piece of the batch.
struct PieceSums<'a> {
    g: &'a Geometry,
    field: &'a Field,
    /// The start of each output pixel's patch.
    rows: &'a [usize],
    x: &'a [Lanes],
    dy: &'a [Lanes],
}

impl Job for PieceSums<'_> {
    type Output = Room;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Room {
        let (g, field, [blocks_in, blocks_out]) = (self.g, self.field, self.g.blocks());
        // What a pixel of the output reads, a patch with its neighbours' parts.
        let pixels = (BAND / (blocks_out + g.stride * g.stride * blocks_in)).clamp(1, STRIP);
        let images = (pixels / g.pixels_out()).max(1);
        let size_x = blocks_in * field.area;
        let mut padded = zeros(if field.is_dense() { 0 } else { images * size_x });
        let mut sums = zeros(self::sums(g));
        let groups = self.x.chunks(images * g.image_in()).zip(self.dy.chunks(images * g.image_out()));
        for (x, dy) in groups {
            let x = match field.is_dense() {
                true => x,
                false => {
                    let pairs = padded.chunks_exact_mut(size_x).zip(x.chunks_exact(g.image_in()));
                    pairs.for_each(|(to, image)| field.fill(image, to));
                    &padded[..x.len() / g.image_in() * size_x]
                }
            };
            for (start, rows) in self.rows.chunks(pixels).enumerate() {
                for (index, sums) in sums.chunks_exact_mut(LANES).enumerate() {
                    let tap = Tap::of(g, field, index);
                    let first = tap.first + start * pixels;
                    for (x, dy) in x.chunks_exact(size_x).zip(dy.chunks_exact(g.image_out())) {
                        let dy = &dy[first..][..rows.len()];
                        TapSum { tap, x, dy, rows, sums: &mut *sums }.run::<I>();
                    }
                }
            }
        }
        sums
    }
}

/// Adds the gradient of one tap from some pixels of one image.
struct TapSum<'a> {
    tap: Tap,
    x: &'a [Lanes],
    dy: &'a [Lanes],
    rows: &'a [usize],
    sums: &'a mut [Lanes],
}

impl Job for TapSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let x = &self.x[self.tap.offset..];
        let x = self.rows.iter().map(|row| &x[*row]);
        sum_pixels::<I::Wide>(x.zip(self.dy), self.tap.channels, self.sums);
    }
}
