//! 3×3 convolutions with stride 1 by Winograd's method: fewer multiplications through transformed tiles.
//!
//! ```text
//! forward:   Y = Aᵀ [Σ_c U ⊙ V] A,    U = G g Gᵀ,   V = Bᵀ d B
//! backward:  dg = Gᵀ [Σ_tiles V ⊙ Q] G,   Q = A dY Aᵀ;    dx is a forward pass with the turned kernel
//! ```
//!
//! The sums over channels are matrix products, one for each point of a tile.
//!
//! Tiles of four outputs would need fewer multiplications and be faster on large images, but their transforms lose a
//! decimal digit: a golden trajectory of three LARS steps left its tolerance.

mod gradient;
mod scheme;
mod tiling;

use std::ops::Range;

use super::geometry::{Geometry, Kernel};
use super::product::sum_channels;
use crate::ops::cpu::Host;
use crate::ops::cpu::batch_norm_pixels::{Finish, pieces};
use crate::ops::cpu::parallel::each;
use crate::ops::cpu::pool::{Pooled, Room, any_pixels, scratch};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector, dispatch};
use gradient::tap_sums;
use scheme::{M, N, both};
use tiling::{Band, Tiling};

/// Transformed pixels of a band, which stay in the second level of a cache.
const BAND: usize = 6144;

/// Whether these passes serve a shape: from sixteen channels on, the size of a block.
///
/// The limit was set for accuracy. With eight channels, a golden trajectory left its tolerance when batch norm still
/// had longer float32 sums. Today's cases pass even with four channels, but nobody has measured what is faster there.
pub(super) fn serves(g: &Geometry) -> bool {
    g.kernel == 3 && g.stride == 1 && g.padding <= 2 && g.channels_in >= LANES && g.channels_out >= LANES
}

/// `[image, block of outputs, pixel]`
pub(super) fn forward<B: Host>(
    g: &Geometry,
    x: &[Lanes],
    weight: &[f32],
    finish: Option<Finish<'_>>,
) -> Room {
    let kernel = Kernel::forward(g, weight);
    correlate::<B>(&Tiling::new(g.input, g.output, g.padding), kernel, x, finish)
}

/// `[image, block of inputs, pixel]`
pub(super) fn input_gradient<B: Host>(g: &Geometry, weight: &[f32], dy: &[Lanes]) -> Room {
    let kernel = Kernel::backward(g, weight);
    correlate::<B>(&Tiling::new(g.output, g.input, 2 - g.padding), kernel, dy, None)
}

/// `[channel_out, channel_in, 3, 3]`
pub(super) fn weight_gradient<B: Host>(g: &Geometry, x: &[Lanes], dy: &[Lanes]) -> Pooled {
    tap_sums::<B>(g, &Tiling::new(g.input, g.output, g.padding), x, dy)
}

/// The stride between points in the transformed tiles: not a multiple of a page, which would map to few cache lines.
fn point_stride(blocks: usize, tiles: usize) -> usize {
    blocks * tiles + 1
}

/// The convolution of images with a kernel.
fn correlate<B: Host>(tiling: &Tiling, kernel: Kernel<'_>, x: &[Lanes], finish: Option<Finish<'_>>) -> Room {
    let image_in = kernel.ins.div_ceil(LANES) * tiling.pixels[0];
    let image_out = kernel.outs.div_ceil(LANES) * tiling.pixels[1];
    let images = x.len() / image_in;
    let weights = transformed_weights::<B>(kernel);
    let group = tiling.images_per_group(images);
    let mut output = any_pixels(images * image_out);
    let jobs = output.chunks_mut(group * image_out).zip(x.chunks(group * image_in));
    each::<B, _>(jobs.zip(pieces(finish, group * image_out)), |((output, x), finish)| {
        dispatch(Correlate { tiling, kernel, weights: &weights, x, finish, output });
    });
    output
}

/// `[block of outputs, point, input, 16 outputs]`
fn transformed_weights<B: Host>(kernel: Kernel<'_>) -> Room {
    let ins = kernel.ins.div_ceil(LANES) * kernel.depth();
    let mut weights = scratch(kernel.outs.div_ceil(LANES) * N * N * ins);
    each::<B, _>(weights.chunks_mut(N * N * ins).enumerate(), |(block, weights)| {
        dispatch(TransformWeights { kernel, first: block * LANES, ins, weights });
    });
    weights
}

struct TransformWeights<'a> {
    kernel: Kernel<'a>,
    first: usize,
    ins: usize,
    weights: &'a mut [Lanes],
}

impl Job for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let depth = self.kernel.depth();
        let mut taps = [Lanes::default(); 9 * LANES];
        for input in 0..self.ins {
            if input % depth == 0 {
                let taps = &mut taps[..9 * depth];
                self.kernel.block(self.first, input / depth, &[0, 1, 2, 3, 4, 5, 6, 7, 8], taps);
            }
            for part in 0..I::Wide::PARTS {
                let mut g = [[I::Wide::splat(0.0); 3]; 3];
                for tap in 0..9 {
                    g[tap / 3][tap % 3] = I::Wide::load(&taps[tap * depth + input % depth], part);
                }
                let points = both!(g, 3 => N, scheme::weight);
                for i in 0..N {
                    for j in 0..N {
                        points[i][j].store(&mut self.weights[(i * N + j) * self.ins + input], part);
                    }
                }
            }
        }
    }
}

struct Correlate<'a> {
    tiling: &'a Tiling,
    kernel: Kernel<'a>,
    weights: &'a [Lanes],
    x: &'a [Lanes],
    finish: Option<Finish<'a>>,
    output: &'a mut [Lanes],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        let blocks_in = self.kernel.ins.div_ceil(LANES);
        let images = self.x.len() / (blocks_in * self.tiling.pixels[0]);
        let bands = self.tiling.bands(images, tiles_at_once(blocks_in + 1, BAND));
        let most = bands.clone().map(|band| band.len()).max().unwrap_or_default();
        let mut points = scratch(N * N * point_stride(blocks_in, most));
        let mut sums = scratch(N * N * point_stride(1, most));
        let rows: Vec<usize> = (0..most).collect();
        for band in bands {
            transform_tiles::<I>(self.tiling, blocks_in, self.x, &band, &mut points);
            self.band::<I>(&band, &points, &rows[..band.len()], &mut sums);
        }
    }
}

impl Correlate<'_> {
    /// All outputs of a band.
    #[inline(always)]
    fn band<I: Instructions>(&mut self, band: &Band, points: &[Lanes], rows: &[usize], sums: &mut [Lanes]) {
        let (tiling, kernel, count) = (self.tiling, self.kernel, band.len());
        let blocks_in = kernel.ins.div_ceil(LANES);
        let (stride, sum_stride) = (point_stride(blocks_in, count), point_stride(1, count));
        let segments: Vec<usize> = (0..blocks_in).map(|block| block * count).collect();
        let ins = blocks_in * kernel.depth();
        let image_out = kernel.outs.div_ceil(LANES) * tiling.pixels[1];
        let pixels = tiling.outputs_of(&band.tiles);
        for (block, weights) in self.weights.chunks_exact(N * N * ins).enumerate() {
            for point in 0..N * N {
                sum_channels::<I::Wide>(
                    &points[point * stride..(point + 1) * stride],
                    rows,
                    &segments,
                    kernel.depth(),
                    &weights[point * ins..(point + 1) * ins],
                    &mut sums[point * sum_stride..point * sum_stride + count],
                );
            }
            for (index, image) in band.images.clone().enumerate() {
                let first = image * image_out + block * tiling.pixels[1];
                let output = &mut self.output[first..first + tiling.pixels[1]];
                let sums = &sums[index * band.tiles.len()..];
                inverse::<I>(tiling, band.tiles.clone(), sums, sum_stride, output);
                if let Some(finish) = &self.finish {
                    finish.block::<I>(block, first + pixels.start, &mut output[pixels.clone()]);
                }
            }
        }
    }
}

/// Tiles of which the transforms of so many blocks of channels take about `room`, but neither few nor very many.
fn tiles_at_once(blocks: usize, room: usize) -> usize {
    (room / (N * N * blocks)).clamp(24, 256)
}

/// `V = Bᵀ d B` of the tiles of a band: `[point, block of channels, tile]`, points separated by [`point_stride`].
#[inline(always)]
fn transform_tiles<I: Instructions>(
    tiling: &Tiling,
    blocks: usize,
    x: &[Lanes],
    band: &Band,
    points: &mut [Lanes],
) {
    let (count, stride) = (band.tiles.len(), point_stride(blocks, band.len()));
    let images = x.chunks_exact(blocks * tiling.pixels[0]).take(band.images.end).skip(band.images.start);
    let planes = images.enumerate().flat_map(|(index, image)| {
        image.chunks_exact(tiling.pixels[0]).enumerate().map(move |(block, plane)| (index, block, plane))
    });
    for (index, block, image) in planes {
        let points = split_points(points, stride, block * band.len() + index * count, count);
        for (at, tile) in band.tiles.clone().enumerate() {
            let pixels = tiling.inputs(tile, image);
            for part in 0..I::Wide::PARTS {
                let mut d = [[I::Wide::splat(0.0); N]; N];
                for i in 0..N {
                    for j in 0..N {
                        d[i][j] = I::Wide::load(pixels[i][j], part);
                    }
                }
                let d = both!(d, N => N, scheme::input);
                for i in 0..N {
                    for j in 0..N {
                        d[i][j].store(&mut points[i * N + j][at], part);
                    }
                }
            }
        }
    }
}

/// Some tiles of every point.
#[inline(always)]
fn split_points(points: &mut [Lanes], stride: usize, first: usize, count: usize) -> [&mut [Lanes]; N * N] {
    let mut rest = points;
    std::array::from_fn(|_| {
        let (own, others) = std::mem::take(&mut rest).split_at_mut(stride);
        rest = others;
        &mut own[first..][..count]
    })
}

/// `Y = Aᵀ m A` of some tiles of one image.
#[inline(always)]
fn inverse<I: Instructions>(
    tiling: &Tiling,
    tiles: Range<usize>,
    sums: &[Lanes],
    stride: usize,
    image: &mut [Lanes],
) {
    let points: [&[Lanes]; N * N] = std::array::from_fn(|point| &sums[point * stride..][..tiles.len()]);
    for (at, tile) in tiles.enumerate() {
        let mut places = tiling.places(tile, image);
        for part in 0..I::Wide::PARTS {
            let mut m = [[I::Wide::splat(0.0); N]; N];
            for i in 0..N {
                for j in 0..N {
                    m[i][j] = I::Wide::load(&points[i * N + j][at], part);
                }
            }
            let y = both!(m, N => M, scheme::output);
            for i in 0..M {
                for j in 0..M {
                    if let Some(pixel) = places.get(i, j) {
                        y[i][j].store(pixel, part);
                    }
                }
            }
        }
    }
}
