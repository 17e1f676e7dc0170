//! The gradient of the weights by Winograd's method.
//!
//! Images and gradients are transformed one chunk at a time; then every point sums over all tiles of the chunk. The
//! order of the sums does not depend on the number of threads.

use super::super::geometry::Geometry;
use super::super::product::sum_pixels;
use super::scheme::{self, M, N, both};
use super::{Tiling, point_stride, split_points, transform_tiles};
use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::{each, map};
use crate::ops::cpu::pool::{Scratch, any_values, scratch};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector, dispatch};

/// Number of transformed values of images and gradients held at once, in blocks of channels.
const CHUNK: usize = 1 << 17;

/// `[channel_out, channel_in, 3, 3]`
pub(super) fn tap_sums<B: Host>(g: &Geometry, tiling: &Tiling, x: &[Lanes], dy: &[Lanes]) -> Vec<f32> {
    let images = x.len() / g.image_in();
    let per_image = tiling.tiles_per_image();
    let group = tiling.images_per_group(images);
    let [blocks_in, blocks_out] = g.blocks();
    let group_size = N * N * (blocks_in + blocks_out) * group * per_image;
    let groups = (CHUNK / group_size).clamp(4, 64);
    let mut sums = scratch(N * N * blocks_in * blocks_out * LANES);
    sums.fill(Lanes::default());
    let pieces = x.chunks(groups * group * g.image_in()).zip(dy.chunks(groups * group * g.image_out()));
    for (x, dy) in pieces {
        let groups = x.chunks(group * g.image_in()).zip(dy.chunks(group * g.image_out()));
        let transform = |(x, dy)| dispatch(TransformPair { g, tiling, x, dy });
        let chunk: Vec<Transformed> = map::<B, _, _>(groups, transform);
        each::<B, _>(sums.chunks_mut(blocks_out * LANES).enumerate(), |(index, sums)| {
            let (point, block) = (index / blocks_in, index % blocks_in);
            let channels = LANES.min(g.channels_in - block * LANES);
            dispatch(PointSums { chunk: &chunk, point, block, blocks_in, blocks_out, channels, sums });
        });
    }
    let mut dw = any_values(g.channels_out * g.channels_in * 9);
    each::<B, _>(dw.chunks_mut(LANES * g.channels_in * 9).enumerate(), |(block, dw)| {
        dispatch(InverseWeights { sums: &sums, block, blocks_in, blocks_out, channels: g.channels_in, dw });
    });
    dw
}

/// Transformed images and gradients of one group.
struct Transformed {
    images: Scratch,
    gradients: Scratch,
    tiles: usize,
}

struct TransformPair<'a> {
    g: &'a Geometry,
    tiling: &'a Tiling,
    x: &'a [Lanes],
    dy: &'a [Lanes],
}

impl Job for TransformPair<'_> {
    type Output = Transformed;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Transformed {
        let [blocks_in, blocks_out] = self.g.blocks();
        let tiles = self.x.len() / self.g.image_in() * self.tiling.tiles_per_image();
        let points = |blocks: usize| scratch(N * N * point_stride(blocks, tiles));
        let (mut images, mut gradients) = (points(blocks_in), points(blocks_out));
        transform_tiles::<I>(self.tiling, blocks_in, self.x, &mut images);
        transform_gradients::<I>(self.tiling, blocks_out, self.dy, &mut gradients);
        Transformed { images, gradients, tiles }
    }
}

/// `Q = A dY Aᵀ` of all tiles, laid out as by [`transform_tiles`].
#[inline(always)]
fn transform_gradients<I: Instructions>(tiling: &Tiling, blocks: usize, dy: &[Lanes], points: &mut [Lanes]) {
    let per_image = tiling.tiles_per_image();
    let tiles = dy.len() / (blocks * tiling.pixels[1]) * per_image;
    let stride = point_stride(blocks, tiles);
    for (index, image) in dy.chunks_exact(tiling.pixels[1]).enumerate() {
        let first = index % blocks * tiles + index / blocks * per_image;
        let points = split_points(points, stride, first, per_image);
        for tile in 0..per_image {
            let pixels = tiling.outputs(tile, image);
            for part in 0..I::Wide::PARTS {
                let mut y = [[I::Wide::splat(0.0); M]; M];
                for i in 0..M {
                    for j in 0..M {
                        y[i][j] = I::Wide::load(pixels[i][j], part);
                    }
                }
                let q = both!(y, M => N, scheme::output_gradient);
                for i in 0..N {
                    for j in 0..N {
                        q[i][j].store(&mut points[i * N + j][tile], part);
                    }
                }
            }
        }
    }
}

/// Adds `Σ_tiles V ⊙ Q` for one point and one block of inputs.
struct PointSums<'a> {
    chunk: &'a [Transformed],
    point: usize,
    block: usize,
    blocks_in: usize,
    blocks_out: usize,
    channels: usize,
    sums: &'a mut [Lanes],
}

impl Job for PointSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        for part in self.chunk {
            let tiles = part.tiles;
            let x = self.point * point_stride(self.blocks_in, tiles) + self.block * tiles;
            let x = &part.images[x..x + tiles];
            for (block, sums) in self.sums.chunks_exact_mut(LANES).enumerate() {
                let q = self.point * point_stride(self.blocks_out, tiles) + block * tiles;
                let q = &part.gradients[q..q + tiles];
                sum_pixels::<I::Wide>(x.iter().zip(q), self.channels, sums);
            }
        }
    }
}

struct InverseWeights<'a> {
    sums: &'a [Lanes],
    block: usize,
    blocks_in: usize,
    blocks_out: usize,
    channels: usize,
    dw: &'a mut [f32],
}

impl Job for InverseWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let outs = self.dw.len() / (self.channels * 9);
        for c in 0..self.channels {
            let mut taps = [Lanes::default(); 9];
            for part in 0..I::Wide::PARTS {
                let mut m = [[I::Wide::splat(0.0); N]; N];
                for i in 0..N {
                    for j in 0..N {
                        let point = ((i * N + j) * self.blocks_in + c / LANES) * self.blocks_out + self.block;
                        m[i][j] = I::Wide::load(&self.sums[point * LANES + c % LANES], part);
                    }
                }
                let g = both!(m, N => 3, scheme::weight_gradient);
                for tap in 0..9 {
                    g[tap / 3][tap % 3].store(&mut taps[tap], part);
                }
            }
            for k in 0..outs {
                for tap in 0..9 {
                    self.dw[(k * self.channels + c) * 9 + tap] = taps[tap].0[k];
                }
            }
        }
    }
}
