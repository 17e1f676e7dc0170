//! Depthwise convolution of channels-last images with kernels of 7×7.
//!
//! ```text
//! dx: the convolution of dy with the kernel turned by half a circle
//! dw[c, p, q] = Σ over n, i, j of dy[n, i, j, c] · x[n, i + p − 3, j + q − 3, c],   db[c] = Σ dy[n, i, j, c]
//! ```
//!
//! A job takes a band of an image's rows. Sixteen channels at a time, it copies them between columns of zeros, where vectors are
//! aligned and no tap needs a check.

mod band;

use burn::backend::DispatchTensor;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Device, Tensor};

use band::{Convolve, Images, Kernels, TAPS, WeightSums};

use super::parallel::{each, map};
use super::pool::any_values;
use super::simd::dispatch;
use super::{Bridge, Host, Tracked, tensor, total, tracked};

pub(in crate::ops) use band::KERNEL;

/// Pixels of a job, about.
const PIXELS: usize = 1024;
/// Jobs of the gradient of the weights that there should be, whatever the number of threads: sums are in the order of jobs.
const JOBS: usize = 16;

/// See [`depthwise_conv2d`](crate::ops::depthwise_conv2d); for kernels of 7×7.
pub(in crate::ops) fn depthwise_conv2d<B: Host>(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
) -> Tensor<4>
where
    DispatchTensor: Bridge<B>,
{
    let plain = ![input.device(), weight.device(), bias.device()].iter().any(Device::is_autodiff);
    let (x, weight, bias) = (tracked::<B>(input), tracked::<B>(weight), tracked::<B>(bias));
    let nodes = [x.node(), weight.node(), bias.node()];
    let (x, weight) = (B::contiguous(x.primitive()), B::contiguous(weight.primitive()));
    let kernels = Kernels::new(B::values(&weight), B::values(&B::contiguous(bias.primitive())));
    let output = convolved::<B>(&x, &kernels);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match DepthwiseConvolution.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((x, weight), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

#[derive(Debug)]
struct DepthwiseConvolution;

impl<B: Host> Backward<B, 3> for DepthwiseConvolution {
    /// Images and weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        let [x_node, weight_node, bias_node] = ops.parents.map(|node| node.map(|node| node.id));
        let (x, weight) = ops.state;
        if let Some(node) = x_node {
            let turned = Kernels::turned(B::values(&weight));
            grads.register::<B>(node, convolved::<B>(&gradient, &turned));
        }
        if weight_node.is_some() || bias_node.is_some() {
            let (dw, db) = parameter_gradients::<B>(&x, &gradient);
            let dw = tensor::<B>(dw, weight.shape().to_vec());
            let db = tensor::<B>(db, [weight.shape().dims::<4>()[0]]);
            for (node, gradient) in [(weight_node, dw), (bias_node, db)] {
                if let Some(node) = node {
                    grads.register::<B>(node, gradient);
                }
            }
        }
    }
}

fn convolved<B: Host>(x: &FloatTensor<B>, kernels: &Kernels) -> FloatTensor<B> {
    let images = Images::of(x.shape().dims());
    let values = B::values(x);
    let mut output = any_values(values.len());
    if !values.is_empty() {
        let band = images.band(PIXELS);
        let bands = output.chunks_mut(images.len()).zip(values.chunks(images.len()));
        let jobs = bands.flat_map(|(output, x)| {
            let bands = output.chunks_mut(band * images.row()).enumerate();
            bands.map(move |(index, output)| (x, index * band, output))
        });
        each::<B, _>(jobs, |(x, first, output)| dispatch(Convolve { images, x, first, kernels, output }));
    }
    tensor::<B>(output, x.shape().to_vec())
}

/// `[channel, tap]` and `[channel]`
fn parameter_gradients<B: Host>(x: &FloatTensor<B>, gradient: &FloatTensor<B>) -> (Vec<f32>, Vec<f32>) {
    let shape: [usize; 4] = x.shape().dims();
    let images = Images::of(shape);
    let (channels, band) = (images.channels, images.band(PIXELS));
    // Several small images are a job, so that there are not as many partial sums as images.
    let of_job = (PIXELS / (images.height * images.width).max(1)).clamp(1, shape[0].div_ceil(JOBS).max(1));
    let size = (of_job * images.len()).max(1);
    let groups = B::values(x).chunks(size).zip(B::values(gradient).chunks(size));
    let jobs = groups.flat_map(|(x, dy)| {
        let bands = (0..images.height).step_by(band);
        bands.map(move |first| WeightSums { images, x, dy, rows: first..images.height.min(first + band) })
    });
    let parts = map::<B, _, _>(jobs, dispatch);
    // `[tap, channel]`, and as if it were a tap, that of the bias.
    let sums = total((TAPS + 1) * channels, parts.iter().map(Vec::as_slice));
    let of_channel = |channel: usize| (0..TAPS).map(move |tap| (tap, channel));
    let by_channel = (0..channels).flat_map(of_channel).map(|(tap, channel)| sums[tap * channels + channel]);
    (by_channel.collect(), sums[TAPS * channels..].to_vec())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::ops::cpu::simd::{self, Level};
    use crate::ops::{depthwise_conv, depthwise_conv2d};
    use burn::tensor::{TensorData, Tolerance};
    use burn_flex::{Flex, FlexTensor};

    /// Batch, height, width and channels: one pixel, as large as a kernel, odd sizes, fewer and more channels than lanes, all
    /// widths of tiles, several bands, several images in a job.
    const SHAPES: [[usize; 4]; 10] = [
        [1, 1, 1, 1],
        [2, 1, 1, 20],
        [1, 7, 7, 16],
        [3, 5, 9, 17],
        [2, 9, 5, 3],
        [2, 2, 2, 40],
        [1, 16, 16, 33],
        [2, 40, 33, 18],
        [40, 7, 7, 18],
        [1, 3, 1100, 5],
    ];

    /// Values between -0.5 and 0.5. A congruential generator: a wave would cancel in the sums.
    fn random(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..len).map(next).collect()
    }

    /// Images, weight, bias and the gradient of the output.
    fn operands(shape: [usize; 4]) -> [FlexTensor; 4] {
        let (count, channels) = (shape.iter().product(), shape[3]);
        [
            tensor::<Flex>(random(count, 1), shape),
            tensor::<Flex>(random(TAPS * channels, 2), [channels, 1, KERNEL, KERNEL]),
            tensor::<Flex>(random(channels, 3), [channels]),
            tensor::<Flex>(random(count, 4), shape),
        ]
    }

    /// Output and gradients of images, weight and bias.
    fn passes([x, weight, bias, dy]: &[FlexTensor; 4]) -> [Vec<f32>; 4] {
        let weight = Flex::values(weight);
        let y = convolved::<Flex>(x, &Kernels::new(weight, Flex::values(bias)));
        let dx = convolved::<Flex>(dy, &Kernels::turned(weight));
        let (dw, db) = parameter_gradients::<Flex>(x, dy);
        [Flex::values(&y).to_vec(), Flex::values(&dx).to_vec(), dw, db]
    }

    /// The same by the definition, in float64.
    fn definition([_, height, width, channels]: [usize; 4], operands: &[FlexTensor; 4]) -> [Vec<f64>; 4] {
        let [x, weight, bias, dy] = operands.each_ref().map(Flex::values);
        let mut out = [x.len(), x.len(), weight.len(), channels].map(|len| vec![0.0; len]);
        for (at, dy) in dy.iter().enumerate() {
            let (c, j) = (at % channels, at / channels % width);
            let (i, image) = (at / channels / width % height, at / (channels * width * height));
            out[0][at] += f64::from(bias[c]);
            out[3][c] += f64::from(*dy);
            for tap in 0..TAPS {
                let (row, column) = (i + tap / KERNEL, j + tap % KERNEL);
                if (3..height + 3).contains(&row) && (3..width + 3).contains(&column) {
                    let from = ((image * height + row - 3) * width + column - 3) * channels + c;
                    out[0][at] += f64::from(weight[c * TAPS + tap]) * f64::from(x[from]);
                    out[1][from] += f64::from(weight[c * TAPS + tap]) * f64::from(*dy);
                    out[2][c * TAPS + tap] += f64::from(x[from]) * f64::from(*dy);
                }
            }
        }
        out
    }

    #[test]
    fn all_passes_are_those_of_the_definition_with_and_without_vector_instructions() {
        let alone = simd::alone();
        for shape in SHAPES {
            let operands = operands(shape);
            let want = definition(shape, &operands);
            for level in [Level::Portable, Level::Avx2, Level::Avx512] {
                alone.limit(level);
                for (index, (got, want)) in passes(&operands).iter().zip(&want).enumerate() {
                    assert_eq!(got.len(), want.len());
                    let largest = want.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
                    for (got, want) in got.iter().zip(want) {
                        let error = (f64::from(*got) - want).abs() / largest;
                        // Sums of up to 3,300 products, one after another.
                        assert!(error < 3e-6, "{shape:?}, {level:?}, result {index}: {got} and {want}");
                    }
                }
            }
        }
    }

    /// On a processor without AVX-512, both runs use the same instructions and nothing is compared.
    #[test]
    fn neither_wider_vectors_nor_the_number_of_threads_change_a_bit() {
        let alone = simd::alone();
        for shape in SHAPES {
            let operands = operands(shape);
            alone.limit(Level::Avx2);
            let narrow = passes(&operands);
            alone.limit(Level::Avx512);
            for threads in [1, 2, 3, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                let found = pool.install(|| passes(&operands));
                assert_eq!(found, narrow, "{shape:?} on {threads} threads");
            }
        }
    }

    fn tracked_operands(shape: [usize; 4]) -> (Tensor<4>, Tensor<4>, Tensor<1>) {
        let [x, weight, bias, _] = operands(shape)
            .map(|tensor| TensorData::new(Flex::values(&tensor).to_vec(), tensor.shape().to_vec()));
        let device = Device::flex().autodiff();
        (
            Tensor::from_data(x, &device).require_grad(),
            Tensor::from_data(weight, &device).require_grad(),
            Tensor::from_data(bias, &device).require_grad(),
        )
    }

    #[test]
    fn output_and_gradients_are_those_of_the_portable_operation() {
        let _alone = simd::alone();
        for shape in [[2, 5, 9, 17], [1, 8, 3, 4]] {
            let run = |convolve: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>| {
                let (x, weight, bias) = tracked_operands(shape);
                let y = convolve(x.clone(), weight.clone(), bias.clone());
                let gradients = (y.clone() * y.clone().sin()).sum().backward();
                [
                    y.inner().into_data(),
                    x.grad(&gradients).expect("a gradient").into_data(),
                    weight.grad(&gradients).expect("a gradient").into_data(),
                    bias.grad(&gradients).expect("a gradient").into_data(),
                ]
            };
            for (ours, theirs) in run(depthwise_conv2d).iter().zip(&run(depthwise_conv::portable)) {
                ours.assert_approx_eq::<f32>(theirs, Tolerance::rel_abs(1e-4, 1e-4));
            }
        }
    }

    #[test]
    fn images_of_other_layouts_are_read_in_the_order_of_their_axes() {
        let _alone = simd::alone();
        let (x, weight, bias) = tracked_operands([2, 6, 5, 4]);
        let turned = x.clone().inner().permute([0, 3, 2, 1]).mul_scalar(1.0);
        let want = depthwise_conv2d(x.inner(), weight.clone().inner(), bias.clone().inner());
        let got = depthwise_conv2d(turned.permute([0, 3, 2, 1]), weight.inner(), bias.inner());
        assert_eq!(got.into_data(), want.into_data());
    }

    #[test]
    fn constants_get_no_gradient_and_parameters_do() {
        let _alone = simd::alone();
        let (x, weight, bias) = tracked_operands([2, 4, 4, 3]);
        let x = x.inner();
        let plain = depthwise_conv2d(x.clone(), weight.clone().inner(), bias.clone().inner());
        assert!(!plain.device().is_autodiff());
        let y = depthwise_conv2d(x, weight.clone(), bias.clone());
        assert_eq!(y.clone().inner().into_data(), plain.into_data());
        let gradients = y.sum().backward();
        assert!(weight.grad(&gradients).is_some());
        let gradient = bias.grad(&gradients).expect("a gradient").into_data();
        assert_eq!(gradient, TensorData::from([32.0_f32; 3]));
    }

    #[test]
    fn an_empty_batch_gives_nothing_and_no_gradient() {
        let (_, weight, bias) = tracked_operands([1, 1, 1, 3]);
        let x = Tensor::<4>::from_inner(Tensor::zeros([0, 4, 4, 3], &Device::flex())).require_grad();
        let y = depthwise_conv2d(x.clone(), weight.clone(), bias);
        assert_eq!(y.dims(), [0, 4, 4, 3]);
        let gradients = y.sum().backward();
        assert_eq!(x.grad(&gradients).expect("a gradient").dims(), [0, 4, 4, 3]);
        let gradient = weight.grad(&gradients).expect("a gradient").into_data();
        assert_eq!(gradient, TensorData::zeros::<f32, _>([3, 1, 7, 7]));
    }
}
