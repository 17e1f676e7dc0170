//! The gradient of the weights by Winograd's method.
//!
//! Pieces of the batch have sums of their own, which are added in order: what is transformed is summed by the same thread, out of
//! its cache. Where these sums would be larger than what is summed in a cache, images and gradients are transformed one chunk
//! at a time; then every point sums over all tiles of the chunk. The order of the sums does not depend on the number of threads.

use super::super::geometry::Geometry;
use super::super::pieces::{sum_pieces, zeros};
use super::super::product::sum_pixels;
use super::scheme::{self, M, N, both};
use super::tiling::Band;
use super::{Tiling, point_stride, split_points, tiles_at_once, transform_tiles};
use crate::ops::cpu::Host;
use crate::ops::cpu::parallel::{each, map};
use crate::ops::cpu::pool::{Pooled, Room, any_values, scratch};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector, dispatch};

/// Number of transformed values of images and gradients held at once, in blocks of channels.
const CHUNK: usize = 1 << 17;
/// The same of a piece, in the second level of a cache.
const BAND: usize = 1 << 13;

/// `[channel_out, channel_in, 3, 3]`
pub(super) fn tap_sums<B: Host>(g: &Geometry, tiling: &Tiling, x: &[Lanes], dy: &[Lanes]) -> Pooled {
    let [blocks_in, blocks_out] = g.blocks();
    let of_a_band = (blocks_in + blocks_out) * tiles_at_once(blocks_in + blocks_out, BAND);
    let sums = if 2 * blocks_in * blocks_out * LANES <= of_a_band {
        sum_pieces::<B>(g, sums(g), x, dy, |x, dy| dispatch(PieceSums { g, tiling, x, dy }))
    } else {
        of_chunks::<B>(g, tiling, x, dy)
    };
    let mut dw = any_values(g.channels_out * g.channels_in * 9);
    each::<B, _>(dw.chunks_mut(LANES * g.channels_in * 9).enumerate(), |(block, dw)| {
        dispatch(InverseWeights { sums: &sums, block, blocks_in, blocks_out, channels: g.channels_in, dw });
    });
    dw
}

/// The number of sums, `[point, block of inputs, block of outputs, input, 16 outputs]`.
fn sums(g: &Geometry) -> usize {
    let [blocks_in, blocks_out] = g.blocks();
    N * N * blocks_in * blocks_out * LANES
}

/// The sums of all images.
fn of_chunks<B: Host>(g: &Geometry, tiling: &Tiling, x: &[Lanes], dy: &[Lanes]) -> Room {
    let [blocks_in, blocks_out] = g.blocks();
    let images = x.len() / g.image_in();
    let per_image = tiling.tiles_per_image();
    let group = tiling.images_per_group(images);
    let group_size = N * N * (blocks_in + blocks_out) * group * per_image;
    let groups = (CHUNK / group_size).clamp(4, 64);
    let mut sums = zeros(sums(g));
    let whole = |x: &[Lanes]| Band { images: 0..x.len() / g.image_in(), tiles: 0..per_image };
    let pieces = x.chunks(groups * group * g.image_in()).zip(dy.chunks(groups * group * g.image_out()));
    for (x, dy) in pieces {
        let groups = x.chunks(group * g.image_in()).zip(dy.chunks(group * g.image_out()));
        let transform = |(x, dy)| dispatch(TransformPair { g, tiling, x, dy, band: whole(x) });
        let chunk: Vec<Transformed> = map::<B, _, _>(groups, transform);
        each::<B, _>(sums.chunks_mut(blocks_out * LANES).enumerate(), |(index, sums)| {
            dispatch(PointSums { g, chunk: &chunk, index, sums });
        });
    }
    sums
}

/// A piece of the batch.
struct PieceSums<'a> {
    g: &'a Geometry,
    tiling: &'a Tiling,
    x: &'a [Lanes],
    dy: &'a [Lanes],
}

impl Job for PieceSums<'_> {
    type Output = Room;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Room {
        let Self { g, tiling, x, dy } = self;
        let [blocks_in, blocks_out] = g.blocks();
        let mut sums = zeros(self::sums(g));
        for band in tiling.bands(x.len() / g.image_in(), tiles_at_once(blocks_in + blocks_out, BAND)) {
            let chunk = [TransformPair { g, tiling, x, dy, band }.run::<I>()];
            for (index, sums) in sums.chunks_exact_mut(blocks_out * LANES).enumerate() {
                PointSums { g, chunk: &chunk, index, sums }.run::<I>();
            }
        }
        sums
    }
}

/// Transformed images and gradients of a band.
struct Transformed {
    images: Room,
    gradients: Room,
    tiles: usize,
}

struct TransformPair<'a> {
    g: &'a Geometry,
    tiling: &'a Tiling,
    x: &'a [Lanes],
    dy: &'a [Lanes],
    band: Band,
}

impl Job for TransformPair<'_> {
    type Output = Transformed;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Transformed {
        let [blocks_in, blocks_out] = self.g.blocks();
        let (band, tiles) = (&self.band, self.band.len());
        let points = |blocks: usize| scratch(N * N * point_stride(blocks, tiles));
        let (mut images, mut gradients) = (points(blocks_in), points(blocks_out));
        transform_tiles::<I>(self.tiling, blocks_in, self.x, band, &mut images);
        transform_gradients::<I>(self.tiling, blocks_out, self.dy, band, &mut gradients);
        Transformed { images, gradients, tiles }
    }
}

/// `Q = A dY Aᵀ` of the tiles of a band, laid out as by [`transform_tiles`].
#[inline(always)]
fn transform_gradients<I: Instructions>(
    tiling: &Tiling,
    blocks: usize,
    dy: &[Lanes],
    band: &Band,
    points: &mut [Lanes],
) {
    let (count, stride) = (band.tiles.len(), point_stride(blocks, band.len()));
    let images = dy.chunks_exact(blocks * tiling.pixels[1]).take(band.images.end).skip(band.images.start);
    let planes = images.enumerate().flat_map(|(index, image)| {
        image.chunks_exact(tiling.pixels[1]).enumerate().map(move |(block, plane)| (index, block, plane))
    });
    for (index, block, image) in planes {
        let points = split_points(points, stride, block * band.len() + index * count, count);
        for (at, tile) in band.tiles.clone().enumerate() {
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
                        q[i][j].store(&mut points[i * N + j][at], part);
                    }
                }
            }
        }
    }
}

/// Adds `Σ_tiles V ⊙ Q` for one point and one block of inputs.
struct PointSums<'a> {
    g: &'a Geometry,
    chunk: &'a [Transformed],
    /// `[point, block of inputs]`
    index: usize,
    sums: &'a mut [Lanes],
}

impl Job for PointSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let [blocks_in, blocks_out] = self.g.blocks();
        let (point, block) = (self.index / blocks_in, self.index % blocks_in);
        let channels = LANES.min(self.g.channels_in - block * LANES);
        for part in self.chunk {
            let tiles = part.tiles;
            let x = &part.images[point * point_stride(blocks_in, tiles) + block * tiles..][..tiles];
            for (block, sums) in self.sums.chunks_exact_mut(LANES).enumerate() {
                let q = &part.gradients[point * point_stride(blocks_out, tiles) + block * tiles..][..tiles];
                sum_pixels::<I::Wide>(x.iter().zip(q), channels, sums);
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
