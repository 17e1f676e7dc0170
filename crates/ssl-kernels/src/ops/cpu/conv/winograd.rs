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

use super::blocked::{blocks, pack, unpack};
use super::geometry::{Geometry, Kernel};
use super::product::sum_channels;
use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::each;
use crate::ops::cpu::pool::{Scratch, any_values, scratch};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector, dispatch};
use gradient::tap_sums;
use scheme::{M, N, both};
use tiling::Tiling;

/// Whether these passes serve a shape: from sixteen channels on, the size of a block.
///
/// The limit was set for accuracy. With eight channels, a golden trajectory left its tolerance when batch norm still
/// had longer float32 sums. Today's cases pass even with four channels, but nobody has measured what is faster there.
pub(super) fn serves(g: &Geometry) -> bool {
    g.kernel == 3 && g.stride == 1 && g.padding <= 2 && g.channels_in >= LANES && g.channels_out >= LANES
}

/// `[image, channel_out, pixel]`
pub(super) fn forward<B: Host>(g: &Geometry, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let kernel = Kernel::forward(g, weight);
    correlate::<B>(&Tiling::new(g.input, g.output, g.padding), kernel, x)
}

/// `[image, channel_in, pixel]`
pub(super) fn input_gradient<B: Host>(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let kernel = Kernel::backward(g, weight);
    correlate::<B>(&Tiling::new(g.output, g.input, 2 - g.padding), kernel, dy)
}

/// `[channel_out, channel_in, 3, 3]`
pub(super) fn weight_gradient<B: Host>(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    tap_sums::<B>(g, &Tiling::new(g.input, g.output, g.padding), x, dy)
}

/// The stride between points in the transformed tiles: not a multiple of a page, which would map to few cache lines.
fn point_stride(blocks: usize, tiles: usize) -> usize {
    blocks * tiles + 1
}

/// The convolution of images with a kernel.
fn correlate<B: Host>(tiling: &Tiling, kernel: Kernel<'_>, x: &[f32]) -> Vec<f32> {
    let image_in = kernel.ins * tiling.input_at.len();
    let image_out = kernel.outs * tiling.output_at.len();
    let images = x.len() / image_in;
    let weights = transformed_weights::<B>(kernel);
    let group = tiling.images_per_group(images);
    let mut output = any_values(images * image_out);
    let jobs = output.chunks_mut(group * image_out).zip(x.chunks(group * image_in));
    each::<B, _>(jobs, |(output, x)| {
        dispatch(Correlate { tiling, kernel, weights: &weights, x, output });
    });
    output
}

/// `[block of outputs, point, input, 16 outputs]`
fn transformed_weights<B: Host>(kernel: Kernel<'_>) -> Scratch {
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
        for input in 0..self.ins {
            let mut taps = [Lanes::default(); 9];
            for tap in 0..9 {
                taps[tap] = Lanes(self.kernel.column(self.first, input, tap));
            }
            for part in 0..I::Wide::PARTS {
                let mut g = [[I::Wide::splat(0.0); 3]; 3];
                for tap in 0..9 {
                    g[tap / 3][tap % 3] = I::Wide::load(&taps[tap], part);
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
    x: &'a [f32],
    output: &'a mut [f32],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let (tiling, kernel) = (self.tiling, self.kernel);
        let per_image = tiling.tiles_per_image();
        let images = self.x.len() / (kernel.ins * tiling.input_at.len());
        let tiles = images * per_image;
        let blocks_in = kernel.ins.div_ceil(LANES);
        let stride = point_stride(blocks_in, tiles);
        let mut points = scratch(N * N * stride);
        transform_tiles::<I>(tiling, kernel.ins, self.x, &mut points);

        let rows: Vec<usize> = (0..tiles).collect();
        let segments: Vec<usize> = (0..blocks_in).map(|block| block * tiles).collect();
        let ins = blocks_in * kernel.depth();
        let pixels = tiling.output_at.len();
        let sum_stride = point_stride(1, tiles);
        let mut sums = scratch(N * N * sum_stride);
        let mut image = scratch(per_image * M * M);
        for (block, weights) in self.weights.chunks_exact(N * N * ins).enumerate() {
            for point in 0..N * N {
                sum_channels::<I::Wide>(
                    &points[point * stride..(point + 1) * stride],
                    &rows,
                    &segments,
                    kernel.depth(),
                    &weights[point * ins..(point + 1) * ins],
                    &mut sums[point * sum_stride..point * sum_stride + tiles],
                );
            }
            for n in 0..images {
                inverse::<I>(tiling, &sums[n * per_image..], sum_stride, &mut image);
                let first = (n * kernel.outs + block * LANES) * pixels;
                let channels = LANES.min(kernel.outs - block * LANES);
                unpack::<I::Eight>(
                    &image,
                    &tiling.output_at,
                    &mut self.output[first..first + channels * pixels],
                );
            }
        }
    }
}

/// `V = Bᵀ d B` of all tiles: `[point, block of channels, tile]`, points separated by [`point_stride`].
#[inline(always)]
fn transform_tiles<I: Instructions>(tiling: &Tiling, channels: usize, x: &[f32], points: &mut [Lanes]) {
    let pixels = tiling.input_at.len();
    let per_image = tiling.tiles_per_image();
    let tiles = x.len() / (channels * pixels) * per_image;
    let stride = point_stride(channels.div_ceil(LANES), tiles);
    let mut image = scratch(tiling.area);
    image.fill(Lanes::default());
    for (n, values) in x.chunks_exact(channels * pixels).enumerate() {
        for (block, planes) in blocks(values, pixels).enumerate() {
            pack::<I::Eight>(planes, &tiling.input_at, &mut image);
            let first = block * tiles + n * per_image;
            for tile in 0..per_image {
                let corner = tile / tiling.tiles[1] * M * tiling.width + tile % tiling.tiles[1] * M;
                for part in 0..I::Wide::PARTS {
                    let mut d = [[I::Wide::splat(0.0); N]; N];
                    for i in 0..N {
                        let row = &image[corner + i * tiling.width..][..N];
                        for j in 0..N {
                            d[i][j] = I::Wide::load(&row[j], part);
                        }
                    }
                    let d = both!(d, N => N, scheme::input);
                    for i in 0..N {
                        for j in 0..N {
                            d[i][j].store(&mut points[(i * N + j) * stride + first + tile], part);
                        }
                    }
                }
            }
        }
    }
}

/// `Y = Aᵀ m A` of the tiles of one image, as pixels.
#[inline(always)]
fn inverse<I: Instructions>(tiling: &Tiling, sums: &[Lanes], stride: usize, image: &mut [Lanes]) {
    for tile in 0..tiling.tiles_per_image() {
        let corner = tile / tiling.tiles[1] * M * tiling.output_width + tile % tiling.tiles[1] * M;
        for part in 0..I::Wide::PARTS {
            let mut m = [[I::Wide::splat(0.0); N]; N];
            for i in 0..N {
                for j in 0..N {
                    m[i][j] = I::Wide::load(&sums[(i * N + j) * stride + tile], part);
                }
            }
            let y = both!(m, N => M, scheme::output);
            for i in 0..M {
                let row = &mut image[corner + i * tiling.output_width..][..M];
                for j in 0..M {
                    y[i][j].store(&mut row[j], part);
                }
            }
        }
    }
}
