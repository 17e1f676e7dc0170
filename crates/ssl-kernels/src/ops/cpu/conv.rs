//! Convolution, forward and backward.
//!
//! Images are packed into pixels of sixteen channels, so that one loop over channels and one over pixels serve all
//! passes. 3×3 convolutions with stride 1 and at least sixteen channels use [`winograd`], all others [`direct`]. No
//! pass unfolds images.

// Unrolled loops over several arrays of the same length: the index shows which entries belong together.
#![allow(clippy::needless_range_loop)]

mod direct;
mod field;
mod geometry;
mod pieces;
mod product;
mod winograd;

use std::ops::Deref;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use geometry::Geometry;

use super::batch_norm_pixels::{Finish, Given, Kept, Norm, Origin};
use super::pixels::{Layout, packed, pixels, readable, unpacked};
use super::pool::Room;
use super::simd::{LANES, Lanes};
use super::{Bridge, Host, Tracked, tensor, tracked};
use crate::ops::any_rank::AnyRank;
use crate::ops::epilogue::Epilogue;

/// See [`conv2d`](crate::ops::conv2d).
pub(in crate::ops) fn conv2d<B: Host>(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
) -> Tensor<4>
where
    DispatchTensor: Bridge<B>,
{
    let image = x.dims();
    let shape = Shape { window: Window { image, stride, padding }, from: Layout::Planes, to: Layout::Planes };
    convolved::<B, 4, 4>(x, None, weight, shape)
}

/// The first convolution of a network, from planes to packed pixels.
pub(in crate::ops) fn conv2d_of_planes<B: Host>(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let image = x.dims();
    let shape = Shape { window: Window { image, stride, padding }, from: Layout::Planes, to: Layout::Pixels };
    convolved::<B, 4, 5>(x, None, weight, shape)
}

/// A convolution of packed pixels that have so many channels. Pixels with an origin are computed again in the backward pass.
pub(in crate::ops) fn conv2d_of_pixels<B: Host>(
    x: Tensor<5>,
    origin: Option<Origin>,
    channels: usize,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let [batch, _, height, width, _] = x.dims();
    let image = [batch, channels, height, width];
    let shape = Shape { window: Window { image, stride, padding }, from: Layout::Pixels, to: Layout::Pixels };
    convolved::<B, 5, 5>(x, origin, weight, shape)
}

/// The parts of a convolution that are not tensors.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Window {
    /// The images, `[batch, channel, height, width]`.
    pub(in crate::ops) image: [usize; 4],
    pub(in crate::ops) stride: usize,
    pub(in crate::ops) padding: usize,
}

/// A convolution of planes or packed pixels, and a normalisation with given statistics while its output is in a cache; without
/// gradients.
///
/// - `parameters`: weight, bias, mean and variance, `[channel_out]`
/// - `epilogue`: its shortcut has the shape of the output
pub(in crate::ops) fn conv2d_batch_norm_eval<B: Host>(
    x: AnyRank,
    weight: Tensor<4>,
    window: Window,
    parameters: [Tensor<1>; 4],
    epilogue: Epilogue<5>,
    eps: f64,
) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let x = tracked::<B>(x).primitive().clone();
    let from = if x.shape().num_dims() == 4 { Layout::Planes } else { Layout::Pixels };
    let shape = Shape { window, from, to: Layout::Pixels };
    let weight = B::contiguous(tracked::<B>(weight).primitive());
    let g = shape.geometry::<B>(&weight);
    let [_, blocks] = g.blocks();
    let output = [window.image[0], blocks, g.output[0], g.output[1], LANES];
    let norm = Norm { channels: g.channels_out, splits: 1, eps };
    let given = Given::<B>::of(output, parameters, epilogue, norm);
    let output = shape.forward::<B>(&from.readable::<B>(&x), &weight, Some(given.finish()));
    Tensor::from_primitive::<B>(output)
}

fn convolved<B: Host, const D: usize, const E: usize>(
    x: Tensor<D>,
    origin: Option<Origin>,
    weight: Tensor<4>,
    shape: Shape,
) -> Tensor<E>
where
    DispatchTensor: Bridge<B>,
{
    let plain = !x.device().is_autodiff() && !weight.device().is_autodiff();
    let (x, weight) = (tracked::<B>(x), tracked::<B>(weight));
    let nodes = [x.node(), weight.node()];
    let (x, weight) = (shape.from.readable::<B>(x.primitive()), B::contiguous(weight.primitive()));
    let output = shape.forward::<B>(&x, &weight, None);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match Convolution.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((Kept::new(x, origin), weight, shape), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    window: Window,
    /// The layout of the images and of their gradient.
    from: Layout,
    /// The layout of the output and of its gradient.
    to: Layout,
}

#[derive(Debug)]
struct Convolution;

impl<B: Host> Backward<B, 2> for Convolution {
    type State = (Kept<B>, FloatTensor<B>, Shape);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let (x, weight, shape) = ops.state;
        let grad = shape.to.readable::<B>(&grads.consume::<B>(&ops.node));
        let g = shape.geometry::<B>(&weight);
        let dy = shape.to.pixels::<B>(&grad, g.channels_out, g.pixels_out());
        // First, so that images that are computed again are gone before their gradient needs as much memory.
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, shape.weight_gradient::<B>(&x.values(), &weight, &dy));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, shape.input_gradient::<B>(&weight, &dy));
        }
    }
}

/// Pixels of a tensor, or those that its planes were packed into.
enum Pixels<'a> {
    Borrowed(&'a [Lanes]),
    Own(Room),
}

impl Deref for Pixels<'_> {
    type Target = [Lanes];
    fn deref(&self) -> &[Lanes] {
        match self {
            Self::Borrowed(pixels) => pixels,
            Self::Own(pixels) => pixels,
        }
    }
}

impl Layout {
    /// The tensor itself, or a copy, as [`pixels`](Self::pixels) reads it.
    fn readable<B: Host>(self, images: &FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Planes => B::contiguous(images),
            Self::Pixels => readable::<B>(images),
        }
    }

    /// The packed pixels of images with this layout.
    fn pixels<B: Host>(self, images: &FloatTensor<B>, channels: usize, count: usize) -> Pixels<'_> {
        match self {
            Self::Planes => Pixels::Own(packed::<B>(B::values(images), channels, count)),
            Self::Pixels => Pixels::Borrowed(pixels::<B>(images)),
        }
    }

    /// Images with this layout.
    fn images<B: Host>(self, pixels: Room, [batch, channels, height, width]: [usize; 4]) -> FloatTensor<B> {
        match self {
            Self::Planes => {
                let pixels = Pixels::Own(pixels);
                let planes = unpacked::<B>(&pixels, channels, height * width);
                tensor::<B>(planes, [batch, channels, height, width])
            }
            Self::Pixels => {
                B::tensor(pixels.into(), &[batch, channels.div_ceil(LANES), height, width, LANES])
            }
        }
    }
}

impl Shape {
    fn geometry<B: Host>(self, weight: &FloatTensor<B>) -> Geometry {
        Geometry::new(self.window.image, weight.shape().dims(), self.window.stride, self.window.padding)
    }

    fn input<'a, B: Host>(self, g: &Geometry, x: &'a FloatTensor<B>) -> Pixels<'a> {
        self.from.pixels::<B>(x, g.channels_in, g.pixels_in())
    }

    fn forward<B: Host>(
        self,
        x: &FloatTensor<B>,
        weight: &FloatTensor<B>,
        finish: Option<Finish<'_>>,
    ) -> FloatTensor<B> {
        let g = self.geometry::<B>(weight);
        let pass = if winograd::serves(&g) { winograd::forward::<B> } else { direct::forward::<B> };
        let output = pass(&g, &self.input::<B>(&g, x), B::values(weight), finish);
        self.to.images::<B>(output, [self.window.image[0], g.channels_out, g.output[0], g.output[1]])
    }

    fn input_gradient<B: Host>(self, weight: &FloatTensor<B>, dy: &[Lanes]) -> FloatTensor<B> {
        let g = self.geometry::<B>(weight);
        let pass =
            if winograd::serves(&g) { winograd::input_gradient::<B> } else { direct::input_gradient::<B> };
        self.from.images::<B>(pass(&g, B::values(weight), dy), self.window.image)
    }

    fn weight_gradient<B: Host>(
        self,
        x: &FloatTensor<B>,
        weight: &FloatTensor<B>,
        dy: &[Lanes],
    ) -> FloatTensor<B> {
        let g = self.geometry::<B>(weight);
        let pass =
            if winograd::serves(&g) { winograd::weight_gradient::<B> } else { direct::weight_gradient::<B> };
        tensor::<B>(pass(&g, &self.input::<B>(&g, x), dy), weight.shape().to_vec())
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::ops::conv;
    use crate::ops::cpu::simd::{self, Level};
    use burn::tensor::{Device, Distribution, Tolerance};
    use burn_flex::{Flex, FlexTensor};

    fn values(tensor: &FlexTensor) -> &[f32] {
        Flex::values(tensor)
    }

    type Grads = (Tensor<4>, Tensor<4>, Tensor<4>);

    fn run(x: &Tensor<4>, weight: &Tensor<4>, convolve: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Grads {
        let x = Tensor::<4>::from_inner(x.clone()).require_grad();
        let weight = Tensor::<4>::from_inner(weight.clone()).require_grad();
        let y = convolve(x.clone(), weight.clone());
        let grads = (y.clone() * y.clone().sin()).sum().backward();
        let grad = |t: &Tensor<4>| t.grad(&grads).expect("a gradient");
        (y.inner(), grad(&x), grad(&weight))
    }

    #[test]
    fn output_and_gradients_are_those_of_the_portable_operation() {
        let device = Device::flex();
        for (batch, from, to, size, kernel, stride, padding) in [
            (5, 3, 4, 8, 3, 1, 1),
            (40, 4, 6, 8, 3, 2, 1),
            (3, 4, 6, 9, 1, 2, 0),
            (33, 4, 8, 4, 1, 1, 0),
            (2, 3, 5, 33, 7, 2, 3),
            (1, 2, 2, 32, 1, 1, 0),
            (9, 16, 24, 12, 3, 1, 1),
            (4, 24, 16, 7, 3, 1, 2),
        ] {
            let x = Tensor::random([batch, from, size, size], Distribution::Uniform(-1.0, 1.0), &device);
            let weight =
                Tensor::random([to, from, kernel, kernel], Distribution::Uniform(-1.0, 1.0), &device);
            let ours = run(&x, &weight, |x, w| conv::conv2d(x, w, None, stride, padding));
            let portable = run(&x, &weight, |x, w| conv::portable(x, w, None, stride, padding));
            let close = |a: Tensor<4>, b: Tensor<4>| {
                // A sum of terms of both signs is only as exact as the largest of them allows. The sine amplifies
                // errors: up to 3.5e-6 in twenty runs.
                let largest = b.clone().abs().max().into_scalar::<f32>();
                let tolerance = Tolerance::absolute(1e-5 * largest);
                a.into_data().assert_approx_eq::<f32>(&b.into_data(), tolerance);
            };
            close(ours.0, portable.0);
            close(ours.1, portable.1);
            close(ours.2, portable.2);
        }
    }

    /// Output, gradient of the images and gradient of the weights, computed from the definition in float64.
    fn definition(g: &Geometry, x: &[f32], weight: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
        let (k, [height, width], [rows, columns]) = (g.kernel, g.input, g.output);
        let mut out = [vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; weight.len()]];
        for at in 0..dy.len() {
            let (oy, ox) = (at / columns % rows, at % columns);
            let (o, n) = (at / columns / rows % g.channels_out, at / columns / rows / g.channels_out);
            for tap in 0..g.channels_in * k * k {
                let (c, ky, kx) = (tap / k / k, tap / k % k, tap % k);
                let (y, x_at) = (oy * g.stride + ky, ox * g.stride + kx);
                let inside = |place: usize, size: usize| (g.padding..size + g.padding).contains(&place);
                if inside(y, height) && inside(x_at, width) {
                    let row = (n * g.channels_in + c) * height + y - g.padding;
                    let (from, w) = (row * width + x_at - g.padding, o * g.channels_in * k * k + tap);
                    out[0][at] += f64::from(x[from]) * f64::from(weight[w]);
                    out[1][from] += f64::from(dy[at]) * f64::from(weight[w]);
                    out[2][w] += f64::from(dy[at]) * f64::from(x[from]);
                }
            }
        }
        out
    }

    fn passes(shape: Shape, x: &FlexTensor, weight: &FlexTensor, dy: &FlexTensor) -> [Vec<f32>; 3] {
        let g = shape.geometry::<Flex>(weight);
        let dy = shape.to.pixels::<Flex>(dy, g.channels_out, g.pixels_out());
        let gradients =
            [shape.input_gradient::<Flex>(weight, &dy), shape.weight_gradient::<Flex>(x, weight, &dy)];
        let [dx, dw] = gradients.map(|gradient| values(&gradient).to_vec());
        [values(&shape.forward::<Flex>(x, weight, None)).to_vec(), dx, dw]
    }

    fn random(shape: [usize; 4], seed: usize) -> FlexTensor {
        // A congruential generator: a wave would cancel in the sums and leave nothing but rounding errors.
        let mut state = seed as u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        tensor::<Flex>((0..shape.iter().product()).map(next).collect::<Vec<_>>(), shape)
    }

    /// Batch, channels in and out, size, kernel, stride and padding: direct, then Winograd, each also with many
    /// channels; then images of several strips and bands, and several images in a piece of the batch.
    const SHAPES: [[usize; 7]; 12] = [
        [3, 5, 20, 9, 3, 2, 1],
        [2, 3, 8, 17, 7, 2, 3],
        [3, 17, 9, 11, 5, 3, 2],
        [7, 9, 16, 18, 3, 1, 0],
        [4, 20, 35, 7, 3, 1, 1],
        [12, 16, 24, 12, 3, 1, 1],
        [1, 256, 256, 4, 3, 2, 1],
        [1, 256, 256, 4, 3, 1, 1],
        [2, 64, 64, 24, 3, 1, 1],
        [17, 3, 5, 9, 3, 2, 1],
        [33, 17, 3, 9, 3, 2, 1],
        [1, 3, 64, 140, 7, 2, 3],
    ];

    #[test]
    fn no_image_has_no_gradient_of_the_weights() {
        for stride in [1, 2] {
            let (x, weight) = (random([0, 16, 8, 8], 1), random([24, 16, 3, 3], 2));
            let window = Window { image: [0, 16, 8, 8], stride, padding: 1 };
            let shape = Shape { window, from: Layout::Planes, to: Layout::Planes };
            let gradient = shape.weight_gradient::<Flex>(&x, &weight, &[]);
            assert!(values(&gradient).iter().all(|value| *value == 0.0), "stride {stride}");
        }
    }

    /// The largest error against float64, relative to the largest value, as stated in `docs/performance.md` for these
    /// shapes.
    fn stated_error(g: &Geometry) -> f64 {
        match (winograd::serves(g), g.channels_in.max(g.channels_out)) {
            (false, ..64) => 7e-7,
            (true, ..64) => 3e-7,
            (false, _) => 2e-6,
            (true, _) => 8e-7,
        }
    }

    fn operands([batch, from, to, size, kernel, stride, padding]: [usize; 7]) -> (Shape, [FlexTensor; 3]) {
        let image = [batch, from, size, size];
        let shape =
            Shape { window: Window { image, stride, padding }, from: Layout::Planes, to: Layout::Planes };
        let x = random(image, 0);
        let weight = random([to, from, kernel, kernel], 7);
        let g = shape.geometry::<Flex>(&weight);
        (shape, [x, weight, random([batch, to, g.output[0], g.output[1]], 3)])
    }

    #[test]
    fn all_passes_are_those_of_the_definition_with_and_without_vector_instructions() {
        let alone = simd::alone();
        for level in [Level::Portable, Level::Avx2, Level::Avx512] {
            alone.limit(level);
            for case in SHAPES {
                let (shape, [x, weight, dy]) = operands(case);
                let g = shape.geometry::<Flex>(&weight);
                let want = definition(&g, values(&x), values(&weight), values(&dy));
                for (got, want) in passes(shape, &x, &weight, &dy).iter().zip(&want) {
                    let largest = want.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
                    for (got, want) in got.iter().zip(want) {
                        let error = (f64::from(*got) - want).abs() / largest;
                        let about = format_args!("{case:?}, {level:?} at most: {got} and {want}");
                        assert!(error < stated_error(&g), "{about}: {error:e}");
                    }
                }
            }
        }
    }

    /// On a processor without AVX-512, both runs use the same instructions and nothing is compared.
    #[test]
    fn wider_vectors_change_no_bit() {
        let alone = simd::alone();
        for case in SHAPES {
            let (shape, [x, weight, dy]) = operands(case);
            alone.limit(Level::Avx2);
            let narrow = passes(shape, &x, &weight, &dy);
            alone.limit(Level::Avx512);
            assert_eq!(passes(shape, &x, &weight, &dy), narrow, "{case:?}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let _alone = simd::alone();
        for case in SHAPES {
            let (shape, [x, weight, dy]) = operands(case);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                pool.install(|| passes(shape, &x, &weight, &dy))
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert_eq!(run(threads), one, "{case:?} on {threads} threads");
            }
        }
    }

    #[test]
    fn images_without_gradient_are_constants() {
        let device = Device::flex();
        let x = Tensor::<4>::ones([2, 1, 4, 4], &device);
        let weight = Tensor::<4>::ones([1, 1, 3, 3], &device.clone().autodiff()).require_grad();
        let y = conv::conv2d(x.clone(), weight.clone(), None, 1, 1);
        assert_eq!(
            y.clone().inner().into_data(),
            conv::conv2d(x, weight.clone().inner(), None, 1, 1).into_data()
        );
        let grad = weight.grad(&y.sum().backward()).expect("a gradient");
        assert_eq!(grad.slice([0..1, 0..1, 1..2, 1..2]).into_scalar::<f32>(), 32.0);
    }
}
