//! What a job does with a band of rows, sixteen channels at a time.

use std::ops::Range;

use crate::ops::cpu::pool::scratch;
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, Vector};

/// Height and width of a kernel.
pub(in crate::ops) const KERNEL: usize = 7;
/// Weights of a kernel.
pub(super) const TAPS: usize = KERNEL * KERNEL;
/// Pixels of a kernel on each side of its centre.
const HALF: usize = KERNEL / 2;

/// The size of channels-last images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Images {
    pub(super) fn of([_, height, width, channels]: [usize; 4]) -> Self {
        Self { height, width, channels }
    }

    /// Values of a row.
    pub(super) fn row(&self) -> usize {
        self.width * self.channels
    }

    /// Values of an image.
    pub(super) fn len(&self) -> usize {
        self.height * self.row()
    }

    /// Rows of bands of about the same height, with about as many pixels as given.
    pub(super) fn band(&self, pixels: usize) -> usize {
        let bands = (self.height * self.width).div_ceil(pixels).max(1);
        self.height.div_ceil(bands).max(1)
    }

    /// The ranges of sixteen channels; the last has fewer if there are no more.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let channels = self.channels;
        (0..channels).step_by(LANES).map(move |first| first..channels.min(first + LANES))
    }

    /// The rows that kernels centred on `rows` see.
    fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start.saturating_sub(HALF)..self.height.min(rows.end + HALF)
    }

    /// The rows of a kernel centred on a row that lie within the image.
    fn taps_of(&self, row: usize) -> Range<usize> {
        HALF.saturating_sub(row)..KERNEL.min(self.height + HALF - row)
    }
}

/// Weights and biases of all channels, sixteen to a pixel.
#[derive(Debug)]
pub(super) struct Kernels {
    /// `[block, tap]`
    weights: Vec<Lanes>,
    /// `[block]`
    biases: Vec<Lanes>,
}

impl Kernels {
    /// `weight`: `[channel, tap]`, `bias`: `[channel]`
    pub(super) fn new(weight: &[f32], bias: &[f32]) -> Self {
        Self { weights: by_tap(weight, |tap| tap), biases: bias.chunks(LANES).map(lanes).collect() }
    }

    /// The kernels turned by half a circle, without bias.
    pub(super) fn turned(weight: &[f32]) -> Self {
        let weights = by_tap(weight, |tap| TAPS - 1 - tap);
        let biases = vec![Lanes::default(); weights.len() / TAPS];
        Self { weights, biases }
    }
}

fn by_tap(weight: &[f32], place: impl Fn(usize) -> usize) -> Vec<Lanes> {
    let mut all = Vec::with_capacity(weight.len().div_ceil(LANES * TAPS) * TAPS);
    for block in weight.chunks(LANES * TAPS) {
        for tap in 0..TAPS {
            let values: Vec<f32> = block.iter().skip(place(tap)).step_by(TAPS).copied().collect();
            all.push(lanes(&values));
        }
    }
    all
}

/// Up to sixteen channels; zeros take the place of missing ones.
fn lanes(values: &[f32]) -> Lanes {
    let mut lanes = Lanes::default();
    lanes.0[..values.len()].copy_from_slice(values);
    lanes
}

/// Convolves a band of rows of an image.
pub(super) struct Convolve<'a> {
    pub(super) images: Images,
    /// The whole image.
    pub(super) x: &'a [f32],
    /// The first row of the band.
    pub(super) first: usize,
    pub(super) kernels: &'a Kernels,
    /// The band of the output.
    pub(super) output: &'a mut [f32],
}

impl Job for Convolve<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        // The tiles that waste the fewest columns; sums are in the same order in all.
        let width = self.images.width;
        match [8, 7, 4].into_iter().min_by_key(|tile| width.next_multiple_of(*tile)) {
            Some(8) => self.by_tiles::<I, 8>(),
            Some(7) => self.by_tiles::<I, 7>(),
            _ => self.by_tiles::<I, 4>(),
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    fn by_tiles<I: Instructions, const TILE: usize>(self) {
        let Self { images, x, first, kernels, output } = self;
        let rows = first..first + output.len() / images.row();
        let seen = images.seen(&rows);
        let pitch = images.width.next_multiple_of(TILE) + 2 * HALF;
        let mut field = scratch(seen.len() * pitch);
        field.fill(Lanes::default());
        for (block, channels) in images.blocks().enumerate() {
            let weights = &kernels.weights[block * TAPS..][..TAPS];
            for (row, to) in seen.clone().zip(field.chunks_exact_mut(pitch)) {
                pack(images, &x[row * images.row()..], &channels, &mut to[HALF..]);
            }
            for (row, output) in rows.clone().zip(output.chunks_exact_mut(images.row())) {
                let taps = images.taps_of(row);
                // The place of the kernel's first row within the image, in the field.
                let top = (row + taps.start - HALF - seen.start) * pitch;
                for column in (0..images.width).step_by(TILE) {
                    let weights = &weights[taps.start * KERNEL..taps.end * KERNEL];
                    let sums =
                        sums::<I::Wide, TILE>(&field[top + column..], pitch, weights, &kernels.biases[block]);
                    let pixels = output[column * images.channels..].chunks_mut(images.channels);
                    for (sum, pixel) in sums.iter().zip(pixels) {
                        put(sum, &mut pixel[channels.clone()]);
                    }
                }
            }
        }
    }
}

/// The outputs of some columns.
///
/// - `field`: starts where the kernel does, with rows of `pitch` pixels
/// - `weights`: `[row, column]` of the kernel
#[inline(always)]
fn sums<V: Vector, const TILE: usize>(
    field: &[Lanes],
    pitch: usize,
    weights: &[Lanes],
    bias: &Lanes,
) -> [Lanes; TILE] {
    let mut outputs = [Lanes::default(); TILE];
    for part in 0..V::PARTS {
        let mut sums = [V::load(bias, part); TILE];
        for (row, weights) in weights.chunks_exact(KERNEL).enumerate() {
            let pixels = &field[row * pitch..][..TILE + KERNEL - 1];
            for (column, weight) in weights.iter().enumerate() {
                let weight = V::load(weight, part);
                for (sum, pixel) in sums.iter_mut().zip(&pixels[column..column + TILE]) {
                    *sum = sum.mul_add(V::load(pixel, part), weight);
                }
            }
        }
        for (output, sum) in outputs.iter_mut().zip(sums) {
            sum.store(output, part);
        }
    }
    outputs
}

/// Sums the gradients of weight and bias over a band of rows of some images: `[tap, channel]`, and behind them those of the bias.
pub(super) struct WeightSums<'a> {
    pub(super) images: Images,
    pub(super) x: &'a [f32],
    /// The gradient of the output.
    pub(super) dy: &'a [f32],
    pub(super) rows: Range<usize>,
}

impl Job for WeightSums<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let Self { images, x, dy, rows } = self;
        let Images { width, channels: count, .. } = images;
        let (seen, pitch) = (images.seen(&rows), width + 2 * HALF);
        let (mut field, mut gradients) = (scratch(seen.len() * pitch), scratch(rows.len() * width));
        field.fill(Lanes::default());
        let mut result = vec![0.0; (TAPS + 1) * count];
        for channels in images.blocks() {
            let mut sums = [Lanes::default(); TAPS + 1];
            for (x, dy) in x.chunks_exact(images.len()).zip(dy.chunks_exact(images.len())) {
                for (row, to) in seen.clone().zip(field.chunks_exact_mut(pitch)) {
                    pack(images, &x[row * images.row()..], &channels, &mut to[HALF..]);
                }
                for (row, to) in rows.clone().zip(gradients.chunks_exact_mut(width)) {
                    pack(images, &dy[row * images.row()..], &channels, to);
                }
                for (row, dy) in rows.clone().zip(gradients.chunks_exact(width)) {
                    for tap in images.taps_of(row) {
                        let x = &field[(row + tap - HALF - seen.start) * pitch..][..pitch];
                        add_products::<I::Wide>(x, dy, &mut sums[tap * KERNEL..][..KERNEL]);
                    }
                    add::<I::Wide>(dy, &mut sums[TAPS]);
                }
            }
            for (sum, result) in sums.iter().zip(result.chunks_exact_mut(count)) {
                put(sum, &mut result[channels.clone()]);
            }
        }
        result
    }
}

/// Adds the gradients of a row of the kernel, from a row of pixels.
#[inline(always)]
fn add_products<V: Vector>(x: &[Lanes], dy: &[Lanes], sums: &mut [Lanes]) {
    for part in 0..V::PARTS {
        let mut found = [V::splat(0.0); KERNEL];
        for (sum, old) in found.iter_mut().zip(&*sums) {
            *sum = V::load(old, part);
        }
        for (pixels, dy) in x.windows(KERNEL).zip(dy) {
            let dy = V::load(dy, part);
            for (sum, pixel) in found.iter_mut().zip(pixels) {
                *sum = sum.mul_add(V::load(pixel, part), dy);
            }
        }
        for (sum, found) in sums.iter_mut().zip(found) {
            found.store(sum, part);
        }
    }
}

/// Adds a row of pixels.
#[inline(always)]
fn add<V: Vector>(pixels: &[Lanes], sum: &mut Lanes) {
    for part in 0..V::PARTS {
        let add = |sum: V, pixel| sum.add(V::load(pixel, part));
        pixels.iter().fold(V::load(sum, part), add).store(sum, part);
    }
}

/// Copies the channels of a row's pixels. Lanes beyond the last channel keep what they had.
#[inline(always)]
fn pack(images: Images, row: &[f32], channels: &Range<usize>, to: &mut [Lanes]) {
    for (pixel, to) in row.chunks_exact(images.channels).take(images.width).zip(to) {
        let values = &pixel[channels.clone()];
        match values.first_chunk::<LANES>() {
            Some(values) => to.0 = *values,
            None => to.0[..values.len()].copy_from_slice(values),
        }
    }
}

/// Writes as many channels as there is room for.
#[inline(always)]
fn put(lanes: &Lanes, to: &mut [f32]) {
    match to.first_chunk_mut::<LANES>() {
        Some(to) => *to = lanes.0,
        None => to.copy_from_slice(&lanes.0[..to.len()]),
    }
}
