//! The feed-forward half of a transformer's block, some rows at a time.
//!
//! ```text
//! n = norm(x),   h = n W1ᵀ + b1,   g = gelu(h),   y = x + g W2ᵀ + b2, or with another shortcut than x
//! dh = (dy W2) ∘ gelu'(h),   dx = dy + norm'(dh W1),   dW1 = dhᵀ n,   dW2 = dyᵀ g
//! ```
//!
//! The backward pass computes `n` and `g` again, for the rows that it has at hand.

pub(super) mod rows;

use burn::backend::DispatchTensor;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Device, Tensor};

use super::layer_norm::{BackwardRows, Forward as Normalise, Moments};
use super::linear::SumRows;
use super::matrix::{Matrix, MatrixMut};
use super::panels::Onto;
use super::parallel::map;
use super::pool::any_values;
use super::products::over_rows;
use super::simd::dispatch;
use super::weight::Weight;
use super::{Bridge, Host, Tracked, owned, tensor, total, tracked};
use crate::ops::FeedForwardWeights;
use crate::ops::any_rank::AnyRank;

/// Jobs that there should be if there are enough rows, whatever the number of threads: sums over rows are in the order of jobs.
const JOBS: usize = 16;
/// The fewest and the most rows of a job. Every job reads both weights; but what many rows need between the layers is in no
/// cache.
const ROWS: (usize, usize) = (64, 384);

/// See [`feed_forward`](crate::ops::feed_forward) and [`feed_forward_onto`](crate::ops::feed_forward_onto).
pub(in crate::ops) fn feed_forward<B: Host>(
    shortcut: Option<AnyRank>,
    x: AnyRank,
    weights: FeedForwardWeights,
) -> AnyRank
where
    DispatchTensor: Bridge<B>,
{
    let FeedForwardWeights { norm_weight, norm_bias, eps, weight1, bias1, weight2, bias2 } = weights;
    let apart = shortcut.is_some();
    // Where the tokens are the shortcut, a constant takes the place of its node.
    let shortcut = shortcut.unwrap_or_else(|| x.clone().without_autodiff());
    let rows = [&norm_weight, &norm_bias, &bias1, &bias2].map(Tensor::device);
    let others = [x.device(), shortcut.device(), weight1.device(), weight2.device()];
    let plain = !others.iter().chain(&rows).any(Device::is_autodiff);
    let (x, shortcut) = (tracked::<B>(x), tracked::<B>(shortcut));
    let [norm_weight, norm_bias, bias1, bias2] = [norm_weight, norm_bias, bias1, bias2].map(tracked::<B>);
    let [weight1, weight2] = [weight1, weight2].map(tracked::<B>);
    let nodes = [&x, &norm_weight, &norm_bias, &weight1, &bias1, &weight2, &bias2, &shortcut];
    let nodes = nodes.map(|tensor| tensor.node());
    let plainly = |tensor: FloatTensor<Tracked<B>>| B::contiguous(tensor.primitive());
    let layer = Layer::<B> {
        norm_weight: plainly(norm_weight),
        norm_bias: plainly(norm_bias),
        weight1: plainly(weight1),
        weight2: plainly(weight2),
    };
    let biases = [bias1, bias2].map(plainly);
    let (x, shortcut) = (plainly(x), plainly(shortcut));
    let (moments, h, output) = layer.forward(&x, &shortcut, &biases, eps, plain);
    if plain {
        return AnyRank::of::<B>(output);
    }
    let output = match Half.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Saved { layer, x, moments, h, apart }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    AnyRank::of::<Tracked<B>>(output)
}

/// The parameters that both passes read.
#[derive(Clone, Debug)]
struct Layer<B: Host> {
    norm_weight: FloatTensor<B>,
    norm_bias: FloatTensor<B>,
    weight1: FloatTensor<B>,
    weight2: FloatTensor<B>,
}

/// The rows of a job, out of so many.
pub(super) fn rows_of_job(rows: usize) -> usize {
    rows.div_ceil(JOBS).clamp(ROWS.0, ROWS.1)
}

impl<B: Host> Layer<B> {
    /// `[dim, hidden]`
    fn lengths(&self) -> [usize; 2] {
        self.weight2.shape().dims::<2>()
    }

    /// The weights as they are stored: `[hidden, dim]` and `[dim, hidden]`.
    fn matrices(&self) -> [Matrix<'_>; 2] {
        let [dim, hidden] = self.lengths();
        [Matrix::new(B::values(&self.weight1), dim), Matrix::new(B::values(&self.weight2), hidden)]
    }

    /// Checks the shapes, and returns the numbers of rows and of rows in a job.
    fn rows(&self, x: &FloatTensor<B>) -> (usize, usize) {
        let [dim, hidden] = self.lengths();
        let found = (x.shape().to_vec().last().copied(), self.weight1.shape().dims::<2>());
        assert_eq!(
            found,
            (Some(dim), [hidden, dim]),
            "feed-forward: length of a token, and the first weight"
        );
        let rows = x.shape().num_elements() / dim;
        (rows, rows_of_job(rows))
    }

    /// Moments of the rows, the argument of GELU if it is wanted, and the output.
    fn forward(
        &self,
        x: &FloatTensor<B>,
        shortcut: &FloatTensor<B>,
        [bias1, bias2]: &[FloatTensor<B>; 2],
        eps: f64,
        plain: bool,
    ) -> (Vec<Moments>, FloatTensor<B>, FloatTensor<B>) {
        let ([dim, hidden], (rows, of_job)) = (self.lengths(), self.rows(x));
        let mut h = any_values(if plain { 0 } else { rows * hidden });
        let mut output = any_values(rows * dim);
        let [w1, w2] = self.matrices().map(|weight| Weight::of::<B>(weight.transposed(), rows));
        let (weight, bias, eps) = (B::values(&self.norm_weight), B::values(&self.norm_bias), eps as f32);
        let (bias1, bias2) = (B::values(bias1), B::values(bias2));
        let kept = h.chunks_mut(of_job * hidden).map(Some).chain(std::iter::repeat_with(|| None));
        let read = B::values(x).chunks(of_job * dim).zip(B::values(shortcut).chunks(of_job * dim));
        let jobs = read.zip(output.chunks_mut(of_job * dim)).zip(kept);
        let moments = map::<B, _, _>(jobs, |(((x, shortcut), y), kept)| {
            let [mut normalised, mut arguments, mut active] =
                [x.len(), if kept.is_some() { 0 } else { x.len() / dim * hidden }, x.len() / dim * hidden]
                    .map(any_values);
            let moments = dispatch(Normalise { x, y: &mut normalised, weight, bias, eps });
            let h = kept.unwrap_or(&mut arguments);
            w1.product(&mut MatrixMut::new(h, hidden), Matrix::new(&normalised, dim), Onto::Row(bias1));
            dispatch(rows::Gelu { h, active: &mut active });
            dispatch(rows::AddRow { x: shortcut, row: bias2, y });
            w2.product(&mut MatrixMut::new(y, dim), Matrix::new(&active, hidden), Onto::Old);
            moments
        });
        let h = tensor::<B>(h, [if plain { 0 } else { rows }, hidden]);
        (moments.concat(), h, tensor::<B>(output, x.shape().to_vec()))
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    layer: Layer<B>,
    x: FloatTensor<B>,
    moments: Vec<Moments>,
    /// The argument of GELU, `[row, hidden]`.
    h: FloatTensor<B>,
    /// Whether the shortcut is another tensor than `x`.
    apart: bool,
}

#[derive(Debug)]
struct Half;

impl<B: Host> Backward<B, 8> for Half {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 8>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        let gradients = ops.state.gradients(&gradient);
        let gradients = gradients.into_iter().chain([gradient]);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Sums over the rows of a job: gradients of the norm's weight and bias, and of the biases.
type Sums = [Vec<f32>; 4];

impl<B: Host> Saved<B> {
    /// The gradients of the tokens and of all parameters, in the order of the nodes; that of the shortcut is that of the output.
    fn gradients(self, gradient: &FloatTensor<B>) -> [FloatTensor<B>; 7] {
        let Self { layer, x, moments, h, apart } = self;
        let ([dim, hidden], (rows, of_job)) = (layer.lengths(), layer.rows(&x));
        let dy = B::values(gradient);
        let (mut dx, mut normalised) = (any_values(rows * dim), any_values(rows * dim));
        let (mut dh, mut active) = (owned::<B>(h), any_values(rows * hidden));
        let dh_values = B::own_values(&mut dh).expect("made one's own above");
        let parts = layer.backward_rows(
            Jobs { of_job, moments: &moments, x: B::values(&x), dy, apart },
            [&mut dx, &mut normalised, dh_values, &mut active],
        );
        let dh = Matrix::new(dh_values, hidden);
        let dw1 = over_rows::<B>(dh, Matrix::new(&normalised, dim));
        let dw2 = over_rows::<B>(Matrix::new(dy, dim), Matrix::new(&active, hidden));
        let sums = |index: usize, length: usize| {
            tensor::<B>(total(length, parts.iter().map(|sums| sums[index].as_slice())), [length])
        };
        let [norm_weight, norm_bias, bias1, bias2] =
            [(0, dim), (1, dim), (2, hidden), (3, dim)].map(|(i, n)| sums(i, n));
        [tensor::<B>(dx, x.shape().to_vec()), norm_weight, norm_bias, dw1, bias1, dw2, bias2]
    }
}

/// What the jobs of the backward pass read.
struct Jobs<'a> {
    of_job: usize,
    moments: &'a [Moments],
    x: &'a [f32],
    dy: &'a [f32],
    /// See [`Saved`].
    apart: bool,
}

impl<B: Host> Layer<B> {
    /// Writes the gradient of the tokens, the normalised tokens, the gradient of GELU's argument in the place of that argument,
    /// and GELU.
    fn backward_rows(&self, jobs: Jobs<'_>, [dx, normalised, h, active]: [&mut [f32]; 4]) -> Vec<Sums> {
        let [dim, hidden] = self.lengths();
        let Jobs { of_job, moments, x, dy, apart } = jobs;
        let [w1, w2] = self.matrices().map(|weight| Weight::of::<B>(weight, moments.len()));
        let (weight, bias) = (B::values(&self.norm_weight), B::values(&self.norm_bias));
        let read = x.chunks(of_job * dim).zip(dy.chunks(of_job * dim)).zip(moments.chunks(of_job));
        let narrow = dx.chunks_mut(of_job * dim).zip(normalised.chunks_mut(of_job * dim));
        let wide = h.chunks_mut(of_job * hidden).zip(active.chunks_mut(of_job * hidden));
        map::<B, _, _>(read.zip(narrow).zip(wide), |((((x, dy), moments), (dx, normalised)), (h, active))| {
            let mut slopes = any_values(h.len());
            dispatch(rows::Again { x, y: normalised, moments, weight, bias });
            dispatch(rows::GeluAndSlope { h, active, slopes: &mut slopes });
            w2.product(&mut MatrixMut::new(h, hidden), Matrix::new(dy, dim), Onto::Nothing);
            let bias1 = dispatch(rows::TimesAndSums { values: h, factors: &slopes, columns: hidden });
            w1.product(&mut MatrixMut::new(dx, dim), Matrix::new(h, hidden), Onto::Nothing);
            let [norm_weight, norm_bias] = dispatch(BackwardRows { gradient: dx, x, moments, weight });
            let bias2 = match apart {
                true => dispatch(SumRows { rows: dy, columns: dim }),
                false => dispatch(rows::AddAndSums { values: dx, others: dy, columns: dim }),
            };
            [norm_weight, norm_bias, bias1, bias2]
        })
    }
}
