//! Batch normalisation in two passes over the values, forward and backward.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::{Tracked, tensor, tracked, values};
use crate::ops::BatchNormOutput;

/// Lanes of the partial sums: enough for two registers of AVX-512.
const LANES: usize = 32;

/// See [`batch_norm_train`](crate::ops::batch_norm_train).
pub(in crate::ops) fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> BatchNormOutput<D> {
    let x = tracked(x).try_into_primitive::<Tracked>().expect("the device was checked");
    let weight = tracked(weight).try_into_primitive::<Tracked>().expect("the device was checked");
    let bias = tracked(bias).try_into_primitive::<Tracked>().expect("the device was checked");

    let x_values = x.primitive().to_contiguous();
    let layout = Layout::of(&x_values);
    let stats = Statistics::of(layout, values(&x_values), eps);
    let (w, b) = (weight.primitive().to_contiguous(), bias.primitive().to_contiguous());
    let output = stats.normalise(layout, values(&x_values), values(&w), values(&b));
    let output = tensor(output, x_values.shape().to_vec());
    let channels = [layout.channels];
    let mean = Tensor::from_primitive::<Flex>(tensor(stats.mean.clone(), channels));
    let variance = Tensor::from_primitive::<Flex>(tensor(stats.variance.clone(), channels));

    let prepared = Normalisation.prepare::<NoCheckpointing>([x.node(), weight.node(), bias.node()]);
    let output = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((x_values, w, stats), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    BatchNormOutput { output: Tensor::from_primitive::<Tracked>(output), mean, variance }
}

#[derive(Debug)]
struct Normalisation;

impl Backward<Flex, 3> for Normalisation {
    type State = (FlexTensor, FlexTensor, Statistics);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, weight, stats) = ops.state;
        let layout = Layout::of(&x);
        let sums = stats.gradient_sums(layout, values(&x), values(&grad));
        let dx = x_node.is_some().then(|| {
            let dx = stats.input_gradient(layout, values(&x), values(&grad), values(&weight), &sums);
            tensor(dx, x.shape().to_vec())
        });
        let (dw, db): (Vec<f32>, Vec<f32>) =
            sums.into_iter().map(|s| (s.with_normalised as f32, s.plain as f32)).unzip();
        let channels = [layout.channels];
        let mut register = |node: Option<NodeId>, gradient: Option<FlexTensor>| {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node, gradient);
            }
        };
        register(x_node.map(|node| node.id), dx);
        register(weight_node.map(|node| node.id), Some(tensor(dw, channels)));
        register(bias_node.map(|node| node.id), Some(tensor(db, channels)));
    }
}

/// `[batch, channels, pixels]`, whatever the rank.
#[derive(Clone, Copy, Debug)]
struct Layout {
    batch: usize,
    channels: usize,
    pixels: usize,
}

impl Layout {
    fn of(x: &FlexTensor) -> Self {
        let shape = x.shape();
        Self {
            batch: shape[0],
            channels: shape[1],
            pixels: shape.num_elements() / (shape[0] * shape[1]).max(1),
        }
    }

    fn count(self) -> f64 {
        (self.batch * self.pixels) as f64
    }

    /// The planes of one channel, in the order of the batch.
    fn planes(self, x: &[f32], channel: usize) -> impl Iterator<Item = &[f32]> {
        (0..self.batch).map(move |n| {
            let at = (n * self.channels + channel) * self.pixels;
            &x[at..at + self.pixels]
        })
    }
}

/// What the batch's channels have as statistics.
#[derive(Clone, Debug)]
struct Statistics {
    mean: Vec<f32>,
    /// Biased.
    variance: Vec<f32>,
    /// `1 / sqrt(variance + eps)`
    scale: Vec<f32>,
}

/// Sums over a channel's gradients, plain and weighted with the normalised values.
#[derive(Clone, Copy, Debug)]
struct GradientSums {
    plain: f64,
    with_normalised: f64,
}

impl Statistics {
    fn of(layout: Layout, x: &[f32], eps: f64) -> Self {
        let channel = |c: usize| {
            let mean = layout.planes(x, c).map(|plane| sum(plane, |v| v)).sum::<f64>() / layout.count();
            let m = mean as f32;
            let squares: f64 = layout.planes(x, c).map(|plane| sum(plane, |v| (v - m) * (v - m))).sum();
            // The mean was rounded; what that adds to the squares is taken off again.
            let variance = (squares / layout.count() - (mean - f64::from(m)).powi(2)).max(0.0);
            (m, variance as f32, (1.0 / (variance + eps).sqrt()) as f32)
        };
        let stats: Vec<_> = (0..layout.channels).into_par_iter().map(channel).collect();
        Self {
            mean: stats.iter().map(|s| s.0).collect(),
            variance: stats.iter().map(|s| s.1).collect(),
            scale: stats.iter().map(|s| s.2).collect(),
        }
    }

    fn normalise(&self, layout: Layout, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let mut output = vec![0.0; x.len()];
        let image = layout.channels * layout.pixels;
        output.par_chunks_mut(image).zip(x.par_chunks(image)).for_each(|(output, x)| {
            let planes = output.chunks_exact_mut(layout.pixels).zip(x.chunks_exact(layout.pixels));
            for (c, (output, x)) in planes.enumerate() {
                let (mean, scale, shift) = (self.mean[c], self.scale[c] * weight[c], bias[c]);
                output.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * scale + shift);
            }
        });
        output
    }

    fn gradient_sums(&self, layout: Layout, x: &[f32], grad: &[f32]) -> Vec<GradientSums> {
        let channel = |c: usize| {
            let (mean, mut plain, mut weighted) = (self.mean[c], 0.0, 0.0);
            for (x, grad) in layout.planes(x, c).zip(layout.planes(grad, c)) {
                plain += sum(grad, |g| g);
                weighted += sum_pairs(x, grad, |x, g| (x - mean) * g);
            }
            GradientSums { plain, with_normalised: weighted * f64::from(self.scale[c]) }
        };
        (0..layout.channels).into_par_iter().map(channel).collect()
    }

    /// ```text
    /// dx = weight · scale · (dy − mean(dy) − x̂ · mean(dy · x̂)),   x̂ = (x − mean) · scale
    /// ```
    fn input_gradient(
        &self,
        layout: Layout,
        x: &[f32],
        grad: &[f32],
        weight: &[f32],
        sums: &[GradientSums],
    ) -> Vec<f32> {
        let mut dx = vec![0.0; x.len()];
        let image = layout.channels * layout.pixels;
        let jobs = dx.par_chunks_mut(image).zip(x.par_chunks(image)).zip(grad.par_chunks(image));
        jobs.for_each(|((dx, x), grad)| {
            for c in 0..layout.channels {
                let plane = c * layout.pixels..(c + 1) * layout.pixels;
                let factor = weight[c] * self.scale[c];
                let shift = (sums[c].plain / layout.count()) as f32;
                let slope = (sums[c].with_normalised / layout.count()) as f32 * self.scale[c];
                let mean = self.mean[c];
                let values = x[plane.clone()].iter().zip(&grad[plane.clone()]);
                dx[plane].iter_mut().zip(values).for_each(|(dx, (x, g))| {
                    *dx = factor * (g - shift - (x - mean) * slope);
                });
            }
        });
        dx
    }
}

/// Sum of a function of the values: float32 in lanes, float64 over them.
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| f64::from(f(*v))).sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += f(*v));
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + rest
}

/// [`sum`] over pairs of values.
fn sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(f(*a, *b))).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += f(*a, *b));
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use crate::ops::batch_norm;
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    fn check<const D: usize>(shape: [usize; D]) {
        let device = Device::flex();
        let x = Tensor::<D>::random(shape, Distribution::Normal(3.0, 2.0), &device);
        let weight = Tensor::<1>::random([shape[1]], Distribution::Uniform(0.5, 1.5), &device);
        let bias = Tensor::<1>::random([shape[1]], Distribution::Uniform(-1.0, 1.0), &device);
        let run = |portable: bool| {
            let x = Tensor::<D>::from_inner(x.clone()).require_grad();
            let weight = Tensor::<1>::from_inner(weight.clone()).require_grad();
            let bias = Tensor::<1>::from_inner(bias.clone()).require_grad();
            let arguments = (x.clone(), weight.clone(), bias.clone());
            let out = if portable {
                batch_norm::portable(arguments.0, arguments.1, arguments.2, 1e-5)
            } else {
                batch_norm::batch_norm_train(arguments.0, arguments.1, arguments.2, 1e-5)
            };
            let grads = (out.output.clone() * out.output.clone().sin()).sum().backward();
            [
                x.grad(&grads).expect("dx").into_data(),
                weight.grad(&grads).expect("dw").into_data(),
                bias.grad(&grads).expect("db").into_data(),
                out.output.inner().into_data(),
                out.mean.without_autodiff().into_data(),
                out.variance.without_autodiff().into_data(),
            ]
        };
        for (ours, portable) in run(false).into_iter().zip(run(true)) {
            ours.assert_approx_eq::<f32>(&portable, Tolerance::rel_abs(1e-3, 1e-4));
        }
    }

    #[test]
    fn outputs_statistics_and_gradients_are_those_of_the_portable_operation() {
        check([6, 3, 7, 5]);
        check([4, 2, 8, 8]);
        check([9, 5]);
    }

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[1000.0], [1001.0], [1002.0], [1003.0]], &device);
        let out =
            batch_norm::batch_norm_train(x, Tensor::ones([1], &device), Tensor::zeros([1], &device), 1e-5);
        assert!((out.variance.into_scalar::<f32>() - 1.25).abs() < 1e-5);
    }
}
