//! Layer normalisation, a row at a time.
//!
//! ```text
//! y = weight · x̂ + bias,   x̂ = (x − mean) · scale,   scale = 1 / sqrt(var + eps)
//! dx = scale · (g − mean(g) − x̂ · mean(g · x̂)),   g = weight · dy
//! ```

use burn::backend::DispatchTensor;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Device, Tensor};

use super::parallel::map;
use super::pool::any_values;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, Tracked, owned, tensor, total, tracked};
use crate::ops::any_rank::AnyRank;

/// Rows per job.
const ROWS: usize = 64;
/// Sums that run side by side, as many as the widest vector has.
const SIDE: usize = 16;

/// See [`layer_norm`](crate::ops::layer_norm).
pub(in crate::ops) fn layer_norm<B: Host>(
    input: AnyRank,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> AnyRank
where
    DispatchTensor: Bridge<B>,
{
    let plain = ![input.device(), weight.device(), bias.device()].iter().any(Device::is_autodiff);
    let (x, weight, bias) = (tracked::<B>(input), tracked::<B>(weight), tracked::<B>(bias));
    let nodes = [x.node(), weight.node(), bias.node()];
    let (x, weight) = (B::contiguous(x.primitive()), B::contiguous(weight.primitive()));
    let (moments, output) = forward::<B>(&x, &weight, &B::contiguous(bias.primitive()), eps);
    if plain {
        return AnyRank::of::<B>(output);
    }
    let output = match LayerNormalisation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Saved { x, weight, moments }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    AnyRank::of::<Tracked<B>>(output)
}

/// Mean of a row, and `1 / sqrt(var + eps)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    mean: f32,
    scale: f32,
}

impl Moments {
    /// `weight · x̂ + bias` of a row.
    #[inline(always)]
    pub(super) fn normalise(self, x: &[f32], y: &mut [f32], weight: &[f32], bias: &[f32]) {
        let parameters = weight.iter().zip(bias);
        let rows = y.iter_mut().zip(x).zip(parameters);
        rows.for_each(|((y, x), (w, b))| *y = (x - self.mean) * self.scale * w + b);
    }
}

fn forward<B: Host>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    bias: &FloatTensor<B>,
    eps: f64,
) -> (Vec<Moments>, FloatTensor<B>) {
    let shape = x.shape().to_vec();
    let (weight, bias) = (B::values(weight), B::values(bias));
    let lengths = [shape.last().copied().unwrap_or(0), bias.len()];
    assert_eq!(lengths, [weight.len(); 2], "layer norm: length of a row and of the bias, and of the weight");
    let mut output = any_values(x.shape().num_elements());
    let rows = ROWS * weight.len();
    let jobs = B::values(x).chunks(rows).zip(output.chunks_mut(rows));
    let moments = map::<B, _, _>(jobs, |(x, y)| dispatch(Forward { x, y, weight, bias, eps: eps as f32 }));
    (moments.concat(), tensor::<B>(output, shape))
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    moments: Vec<Moments>,
}

#[derive(Debug)]
struct LayerNormalisation;

impl<B: Host> Backward<B, 3> for LayerNormalisation {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { x, weight, moments } = ops.state;
        let mut gradient = owned::<B>(grads.consume::<B>(&ops.node));
        let (x, weight) = (B::values(&x), B::values(&weight));
        let rows = ROWS * weight.len();
        let values = B::own_values(&mut gradient).expect("made one's own above");
        let jobs = values.chunks_mut(rows).zip(x.chunks(rows)).zip(moments.chunks(ROWS));
        let parts = map::<B, _, _>(jobs, |((gradient, x), moments)| {
            dispatch(BackwardRows { gradient, x, moments, weight })
        });
        let sums = |part: fn(&[Vec<f32>; 2]) -> &Vec<f32>| {
            let values = parts.iter().map(|parts| part(parts).as_slice());
            tensor::<B>(total(weight.len(), values), [weight.len()])
        };
        let gradients = [gradient, sums(|[dw, _]| dw), sums(|[_, db]| db)];
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

pub(super) struct Forward<'a> {
    pub(super) x: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) eps: f32,
}

impl Job for Forward<'_> {
    type Output = Vec<Moments>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<Moments> {
        let length = self.weight.len();
        let rows = self.x.chunks_exact(length).zip(self.y.chunks_exact_mut(length));
        let mut all = Vec::with_capacity(self.x.len() / length);
        for (x, y) in rows {
            let mean = sum(x, |x| x) / length as f32;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / length as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            let moments = Moments { mean, scale };
            moments.normalise(x, y, self.weight, self.bias);
            all.push(moments);
        }
        all
    }
}

/// Replaces the gradient of the output by that of the input, and returns those of weight and bias.
pub(super) struct BackwardRows<'a> {
    pub(super) gradient: &'a mut [f32],
    pub(super) x: &'a [f32],
    pub(super) moments: &'a [Moments],
    pub(super) weight: &'a [f32],
}

impl Job for BackwardRows<'_> {
    type Output = [Vec<f32>; 2];
    #[inline(always)]
    fn run<I: Instructions>(self) -> [Vec<f32>; 2] {
        let length = self.weight.len();
        let mut sums = [vec![0.0; length], vec![0.0; length]];
        let [dw, db] = &mut sums;
        let rows = self.gradient.chunks_exact_mut(length).zip(self.x.chunks_exact(length));
        for ((dy, x), &Moments { mean, scale }) in rows.zip(self.moments) {
            let normalised = |x: f32| (x - mean) * scale;
            for (((dw, db), dy), x) in dw.iter_mut().zip(&mut *db).zip(&*dy).zip(x) {
                *dw += dy * normalised(*x);
                *db += dy;
            }
            let g = |(dy, w): (f32, f32)| dy * w;
            let (plain, with_normalised) = sums_of_two(dy, self.weight, x, g, normalised);
            let (plain, with_normalised) = (plain / length as f32, with_normalised / length as f32);
            for ((dy, w), x) in dy.iter_mut().zip(self.weight).zip(x) {
                *dy = scale * (g((*dy, *w)) - plain - normalised(*x) * with_normalised);
            }
        }
        sums
    }
}

/// The sum of `of` over a row, in an order that vectors can follow.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let mut sums = [0.0; SIDE];
    for values in whole {
        for i in 0..SIDE {
            sums[i] += of(values[i]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += of(*value);
    }
    folded(sums)
}

/// `Σ g(dy, w)` and `Σ g(dy, w) · normalised(x)`.
#[inline(always)]
fn sums_of_two(
    dy: &[f32],
    weight: &[f32],
    x: &[f32],
    g: impl Fn((f32, f32)) -> f32,
    normalised: impl Fn(f32) -> f32,
) -> (f32, f32) {
    let mut sums = [[0.0; SIDE]; 2];
    let ((dy, dy_rest), (weight, weight_rest), (x, x_rest)) =
        (dy.as_chunks::<SIDE>(), weight.as_chunks::<SIDE>(), x.as_chunks::<SIDE>());
    for ((dy, w), x) in dy.iter().zip(weight).zip(x) {
        for i in 0..SIDE {
            let g = g((dy[i], w[i]));
            sums[0][i] += g;
            sums[1][i] += g * normalised(x[i]);
        }
    }
    for (i, ((dy, w), x)) in dy_rest.iter().zip(weight_rest).zip(x_rest).enumerate() {
        let g = g((*dy, *w));
        sums[0][i] += g;
        sums[1][i] += g * normalised(*x);
    }
    let [plain, with_normalised] = sums.map(folded);
    (plain, with_normalised)
}

/// The sum of sums, in pairs.
#[inline(always)]
fn folded(mut sums: [f32; SIDE]) -> f32 {
    let mut half = SIDE / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}
