//! Convolutions with any square kernel and stride, read directly from packed images.
//!
//! A pass is a sum over taps and channels for every output pixel. With stride s, the gradient of the images splits into
//! s² passes, one for each remainder of an input pixel's position modulo s, since each uses different taps.

mod gradient;

use super::field::Field;
use super::geometry::{Geometry, Kernel};
use super::product::sum_channels;
use crate::ops::cpu::Host;
use crate::ops::cpu::batch_norm_pixels::{Finish, pieces};
use crate::ops::cpu::parallel::each;
use crate::ops::cpu::pool::{Room, any_pixels, scratch};
use crate::ops::cpu::simd::{Instructions, Job, LANES, Lanes, dispatch};

pub(super) use gradient::weight_gradient;

/// Approximate number of output pixels in a group of images, for which a panel of weights is read once.
const GROUP: usize = 96;
/// Output pixels of an image that are computed for all outputs before the next ones, while what they read is in a cache.
const STRIP: usize = 96;

/// `[image, block of outputs, pixel]`
pub(super) fn forward<B: Host>(
    g: &Geometry,
    x: &[Lanes],
    weight: &[f32],
    finish: Option<Finish<'_>>,
) -> Room {
    let kernel = Kernel::forward(g, weight);
    let field = Field::of_images(g);
    let taps: Vec<usize> = (0..kernel.taps).collect();
    let rows = output_rows(g, &field);
    let offsets = taps.iter().map(|tap| tap / g.kernel * field.width + tap % g.kernel).collect();
    let pass = Pass::new::<B>(kernel, &field, &taps, offsets, rows);
    let at = (0..g.pixels_out()).map(|pixel| (0, pixel)).collect();
    correlate::<B>(kernel, &field, &[pass], at, x, finish)
}

/// `[image, block of inputs, pixel]`
pub(super) fn input_gradient<B: Host>(g: &Geometry, weight: &[f32], dy: &[Lanes]) -> Room {
    let kernel = Kernel::backward(g, weight);
    let field = Field::of_gradients(g);
    let mut passes = Vec::new();
    let mut at = vec![(0, 0); g.pixels_in()];
    for py in 0..g.stride {
        for px in 0..g.stride {
            let pixels = remainder_pixels(g, [py, px]);
            pixels.iter().enumerate().for_each(|(index, pixel)| at[*pixel] = (passes.len(), index));
            passes.push(remainder_pass::<B>(g, kernel, &field, [py, px], &pixels));
        }
    }
    correlate::<B>(kernel, &field, &passes, at, dy, None)
}

/// The start of each output pixel's patch.
fn output_rows(g: &Geometry, field: &Field) -> Vec<usize> {
    let place = |pixel: usize| pixel / g.output[1] * g.stride * field.width + pixel % g.output[1] * g.stride;
    (0..g.pixels_out()).map(place).collect()
}

/// Input pixels whose position, padding included, has the given remainders modulo the stride.
fn remainder_pixels(g: &Geometry, remainder: [usize; 2]) -> Vec<usize> {
    let hit = |place: usize, axis: usize| (place + g.padding) % g.stride == remainder[axis];
    (0..g.pixels_in()).filter(|p| hit(p / g.input[1], 0) && hit(p % g.input[1], 1)).collect()
}

fn remainder_pass<B: Host>(
    g: &Geometry,
    kernel: Kernel<'_>,
    field: &Field,
    remainder: [usize; 2],
    pixels: &[usize],
) -> Pass {
    // Output o reads input i at tap i + padding − stride · o: taps with the same remainder, stepping back in o.
    let before = (g.kernel - 1) / g.stride;
    let origin = |place: usize| (place + g.padding) / g.stride + before;
    let rows = pixels.iter().map(|p| origin(p / g.input[1]) * field.width + origin(p % g.input[1]));
    let rows: Vec<usize> = rows.map(|row| row - before * (field.width + 1)).collect();
    let (mut taps, mut offsets) = (Vec::new(), Vec::new());
    for ky in (remainder[0]..g.kernel).step_by(g.stride) {
        for kx in (remainder[1]..g.kernel).step_by(g.stride) {
            // The rotated kernel numbers its taps from the end.
            taps.push(kernel.taps - 1 - (ky * g.kernel + kx));
            offsets.push((before - ky / g.stride) * field.width + before - kx / g.stride);
        }
    }
    Pass::new::<B>(kernel, field, &taps, offsets, rows)
}

/// Sums for some pixels of the output.
struct Pass {
    /// `[block of outputs, block of inputs, tap, input, 16 outputs]`
    weights: Room,
    /// Where each pixel's sum starts reading.
    rows: Vec<usize>,
    /// Offsets from that start: `[block of inputs, tap]`
    segments: Vec<usize>,
}

impl Pass {
    fn new<B: Host>(
        kernel: Kernel<'_>,
        field: &Field,
        taps: &[usize],
        offsets: Vec<usize>,
        rows: Vec<usize>,
    ) -> Self {
        let blocks_in = kernel.ins.div_ceil(LANES);
        let segments = (0..blocks_in).flat_map(|block| offsets.iter().map(move |o| block * field.area + o));
        let panel = blocks_in * taps.len() * kernel.depth();
        let mut weights = scratch(kernel.outs.div_ceil(LANES) * panel);
        let of_block = (taps.len() * kernel.depth()).max(1);
        each::<B, _>(weights.chunks_mut(panel.max(1)).enumerate(), |(out, panel)| {
            for (block, weights) in panel.chunks_exact_mut(of_block).enumerate() {
                kernel.block(out * LANES, block, taps, weights);
            }
        });
        Self { weights, rows, segments: segments.collect() }
    }
}

/// All passes over all images.
///
/// - `at`: pass and row of every output pixel
fn correlate<B: Host>(
    kernel: Kernel<'_>,
    field: &Field,
    passes: &[Pass],
    at: Vec<(usize, usize)>,
    x: &[Lanes],
    finish: Option<Finish<'_>>,
) -> Room {
    let image_in = kernel.ins.div_ceil(LANES) * field.at.len();
    let image_out = kernel.outs.div_ceil(LANES) * at.len();
    let images = x.len() / image_in;
    let group = GROUP.div_ceil(at.len()).min(images.div_ceil(4)).max(1);
    let mut output = any_pixels(images * image_out);
    let jobs = output.chunks_mut(group * image_out).zip(x.chunks(group * image_in));
    each::<B, _>(jobs.zip(pieces(finish, group * image_out)), |((output, x), finish)| {
        dispatch(Correlate { kernel, field, passes, at: &at, x, finish, output });
    });
    output
}

struct Correlate<'a> {
    kernel: Kernel<'a>,
    field: &'a Field,
    passes: &'a [Pass],
    at: &'a [(usize, usize)],
    x: &'a [Lanes],
    finish: Option<Finish<'a>>,
    output: &'a mut [Lanes],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let (kernel, field) = (self.kernel, self.field);
        let blocks_in = kernel.ins.div_ceil(LANES);
        let image_in = blocks_in * field.at.len();
        let images = self.x.len() / image_in;
        let size = blocks_in * field.area;
        let padded = (!field.is_dense()).then(|| {
            let mut padded = scratch(images * size);
            padded.fill(Lanes::default());
            let pairs = self.x.chunks_exact(image_in).zip(padded.chunks_exact_mut(size));
            pairs.for_each(|(image, to)| field.fill(image, to));
            padded
        });
        let x = padded.as_deref().unwrap_or(self.x);
        if let [pass] = self.passes
            && self.at.len() >= STRIP
        {
            return self.strips::<I>(pass, x, size);
        }
        let rows: Vec<Vec<usize>> =
            self.passes.iter().map(|pass| rows_of_images(pass, images, size)).collect();
        let starts: Vec<usize> =
            rows.iter().scan(0, |at, rows| Some(std::mem::replace(at, *at + rows.len()))).collect();
        let pixels = self.at.len();
        let image_out = kernel.outs.div_ceil(LANES) * pixels;
        let mut sums = scratch(images * pixels);
        for block in 0..kernel.outs.div_ceil(LANES) {
            for ((pass, rows), start) in self.passes.iter().zip(&rows).zip(&starts) {
                let panel = pass.segments.len() * kernel.depth();
                sum_channels::<I::Wide>(
                    x,
                    rows,
                    &pass.segments,
                    kernel.depth(),
                    &pass.weights[block * panel..(block + 1) * panel],
                    &mut sums[*start..*start + rows.len()],
                );
            }
            for (n, output) in self.output.chunks_exact_mut(image_out).enumerate() {
                let image = &mut output[block * pixels..][..pixels];
                // A single pass has the pixels in their order.
                if let [_] = self.passes {
                    image.copy_from_slice(&sums[n * pixels..][..pixels]);
                    if let Some(finish) = &self.finish {
                        finish.block::<I>(block, n * image_out + block * pixels, image);
                    }
                    continue;
                }
                for (pixel, (pass, row)) in image.iter_mut().zip(self.at) {
                    *pixel = sums[starts[*pass] + n * self.passes[*pass].rows.len() + row];
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// Some pixels of an image after others, for all outputs, straight to their places.
    #[inline(always)]
    fn strips<I: Instructions>(self, pass: &Pass, x: &[Lanes], size: usize) {
        let (pixels, depth) = (self.at.len(), self.kernel.depth());
        let panel = pass.segments.len() * depth;
        let image_out = self.kernel.outs.div_ceil(LANES) * pixels;
        for (n, (output, x)) in self.output.chunks_exact_mut(image_out).zip(x.chunks_exact(size)).enumerate()
        {
            for (strip, rows) in pass.rows.chunks(STRIP).enumerate() {
                for (block, image) in output.chunks_exact_mut(pixels).enumerate() {
                    let output = &mut image[strip * STRIP..][..rows.len()];
                    let weights = &pass.weights[block * panel..][..panel];
                    sum_channels::<I::Wide>(x, rows, &pass.segments, depth, weights, output);
                    if let Some(finish) = &self.finish {
                        let first = n * image_out + block * pixels + strip * STRIP;
                        finish.block::<I>(block, first, output);
                    }
                }
            }
        }
    }
}

fn rows_of_images(pass: &Pass, images: usize, size: usize) -> Vec<usize> {
    (0..images).flat_map(|n| pass.rows.iter().map(move |row| n * size + row)).collect()
}
