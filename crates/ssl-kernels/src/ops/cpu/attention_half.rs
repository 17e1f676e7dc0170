//! The attention half of a transformer's block, some images at a time.
//!
//! ```text
//! n = norm(x),   [q, k, v] = n Wᵀ + b,   o = attention(q, k, v),   y = x + o Pᵀ + c
//! do = dy P,   [dq, dk, dv] from `do`,   dx = dy + norm'([dq, dk, dv] W),   dW = [dq, dk, dv]ᵀ n,   dP = dyᵀ o
//! ```
//!
//! The backward pass computes `n` again, for the rows that it has at hand.

mod backward;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Tensor};

use super::attention::Head;
use super::feed_forward::{rows::AddRow, rows_of_job};
use super::layer_norm::{Forward as Normalise, Moments};
use super::matrix::{Matrix, MatrixMut};
use super::panels::Onto;
use super::parallel::map;
use super::pool::any_values;
use super::simd::dispatch;
use super::weight::Weight;
use super::{Bridge, Host, Tracked, tensor, tracked};
use crate::ops::AttentionWeights;
use backward::{Half, Saved};

/// See [`attention_half`](crate::ops::attention_half).
pub(in crate::ops) fn attention_half<B: Host>(x: Tensor<3>, weights: AttentionWeights) -> Tensor<3>
where
    DispatchTensor: Bridge<B>,
{
    let AttentionWeights { norm_weight, norm_bias, eps, heads, qkv_weight, qkv_bias, proj_weight, proj_bias } =
        weights;
    let rows = [&norm_weight, &norm_bias, &qkv_bias, &proj_bias].map(Tensor::device);
    let others = [x.device(), qkv_weight.device(), proj_weight.device()];
    let plain = !others.iter().chain(&rows).any(Device::is_autodiff);
    let shape = Shape::of(x.dims(), heads);
    let x = tracked::<B>(x);
    let [norm_weight, norm_bias, qkv_bias, proj_bias] =
        [norm_weight, norm_bias, qkv_bias, proj_bias].map(tracked::<B>);
    let [qkv_weight, proj_weight] = [qkv_weight, proj_weight].map(tracked::<B>);
    let nodes = [&x, &norm_weight, &norm_bias, &qkv_weight, &qkv_bias, &proj_weight, &proj_bias];
    let nodes = nodes.map(|tensor| tensor.node());
    let plainly = |tensor: FloatTensor<Tracked<B>>| B::contiguous(tensor.primitive());
    let layer = Layer::<B> {
        shape,
        norm_weight: plainly(norm_weight),
        norm_bias: plainly(norm_bias),
        qkv_weight: plainly(qkv_weight),
        proj_weight: plainly(proj_weight),
    };
    let biases = [qkv_bias, proj_bias].map(plainly);
    let x = plainly(x);
    let (kept, output) = layer.forward(&x, &biases, eps as f32, plain);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match Half.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Saved { layer, x, kept }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    tokens: usize,
    dim: usize,
    heads: usize,
    /// Rows of a job: those of some images.
    of_job: usize,
}

impl Shape {
    fn of([batch, tokens, dim]: [usize; 3], heads: usize) -> Self {
        assert!(heads > 0 && dim.is_multiple_of(heads), "attention: {heads} heads of {dim} values together");
        let images = rows_of_job(batch * tokens) / tokens.max(1);
        Self { batch, tokens, dim, heads, of_job: images.max(1) * tokens }
    }

    fn rows(&self) -> usize {
        self.batch * self.tokens
    }

    /// A head of an image, in whose rows queries, keys and values of all heads follow one another.
    fn head<'a>(&self, qkv: &'a [f32], head: usize) -> Head<'a> {
        let head_dim = self.dim / self.heads;
        let part = |part: usize| {
            let first = part * self.dim + head * head_dim;
            Matrix::new(qkv, 3 * self.dim).columns(first..first + head_dim)
        };
        let scale = (1.0 / (head_dim as f64).sqrt()) as f32;
        Head { scale, q: part(0), k: part(1), v: part(2), bias: None }
    }

    /// The columns of a head in rows of one token each.
    fn columns<'a>(&self, values: &'a [f32], head: usize) -> Matrix<'a> {
        let head_dim = self.dim / self.heads;
        Matrix::new(values, self.dim).columns(head * head_dim..(head + 1) * head_dim)
    }
}

/// The parameters that both passes read.
#[derive(Clone, Debug)]
struct Layer<B: Host> {
    shape: Shape,
    norm_weight: FloatTensor<B>,
    norm_bias: FloatTensor<B>,
    qkv_weight: FloatTensor<B>,
    proj_weight: FloatTensor<B>,
}

/// What the forward pass computes besides the output.
#[derive(Clone, Debug)]
struct Kept<B: Host> {
    moments: Vec<Moments>,
    /// `[token, 3 · dim]`, empty without gradients
    qkv: FloatTensor<B>,
    /// The output of the attention, `[token, dim]`, empty without gradients.
    seen: FloatTensor<B>,
    /// Logarithms of the sums of exponentials, `[image, head, token]`.
    sums: Vec<f32>,
}

impl<B: Host> Layer<B> {
    fn forward(
        &self,
        x: &FloatTensor<B>,
        biases: &[FloatTensor<B>; 2],
        eps: f32,
        plain: bool,
    ) -> (Kept<B>, FloatTensor<B>) {
        let Shape { dim, of_job, .. } = self.shape;
        let (rows, kept_rows) = (self.shape.rows(), if plain { 0 } else { self.shape.rows() });
        let found = [&self.qkv_weight, &self.proj_weight].map(|weight| weight.shape().dims::<2>());
        assert_eq!(found, [[3 * dim, dim], [dim, dim]], "attention: shapes of the weights");
        let [qkv_bias, proj_bias] = biases;
        let lengths = [&self.norm_weight, &self.norm_bias, qkv_bias, proj_bias];
        let lengths = lengths.map(|row| row.shape().num_elements());
        assert_eq!(
            lengths,
            [dim, dim, 3 * dim, dim],
            "attention: lengths of the norm's rows and of the biases"
        );
        let [mut qkv, mut seen] = [3 * dim, dim].map(|width| any_values(kept_rows * width));
        let mut output = any_values(rows * dim);
        let given = ForwardRows {
            shape: self.shape,
            norm: [B::values(&self.norm_weight), B::values(&self.norm_bias)],
            weights: self.matrices().map(|weight| Weight::of::<B>(weight.transposed(), rows)),
            biases: [B::values(&biases[0]), B::values(&biases[1])],
            eps,
        };
        let of_qkv = qkv.chunks_mut(of_job * 3 * dim).map(Some).chain(std::iter::repeat_with(|| None));
        let of_seen = seen.chunks_mut(of_job * dim).map(Some).chain(std::iter::repeat_with(|| None));
        let jobs =
            B::values(x).chunks(of_job * dim).zip(output.chunks_mut(of_job * dim)).zip(of_qkv.zip(of_seen));
        let done = map::<B, _, _>(jobs, |((x, y), (qkv, seen))| given.rows(x, y, qkv, seen));
        let (moments, sums): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let kept = Kept {
            moments: moments.concat(),
            qkv: tensor::<B>(qkv, [kept_rows, 3 * dim]),
            seen: tensor::<B>(seen, [kept_rows, dim]),
            sums: sums.concat(),
        };
        (kept, tensor::<B>(output, x.shape().to_vec()))
    }
}

/// What the jobs of the forward pass share.
struct ForwardRows<'a> {
    shape: Shape,
    /// Weight and bias of the norm.
    norm: [&'a [f32]; 2],
    /// Of queries, keys and values, and of the projection, transposed.
    weights: [Weight<'a>; 2],
    biases: [&'a [f32]; 2],
    eps: f32,
}

impl ForwardRows<'_> {
    /// Some images.
    fn rows(
        &self,
        x: &[f32],
        y: &mut [f32],
        qkv: Option<&mut [f32]>,
        seen: Option<&mut [f32]>,
    ) -> (Vec<Moments>, Vec<f32>) {
        let Self { shape, norm: [weight, bias], ref weights, biases, eps } = *self;
        let (dim, rows) = (shape.dim, x.len() / shape.dim);
        let own = |kept: bool, width: usize| any_values(if kept { 0 } else { rows * width });
        let (mut own_qkv, mut own_seen) = (own(qkv.is_some(), 3 * dim), own(seen.is_some(), dim));
        let (qkv, seen) = (qkv.unwrap_or(&mut own_qkv), seen.unwrap_or(&mut own_seen));
        let mut normalised = any_values(rows * dim);
        let moments = dispatch(Normalise { x, y: &mut normalised, weight, bias, eps });
        let normalised = Matrix::new(&normalised, dim);
        weights[0].product(&mut MatrixMut::new(qkv, 3 * dim), normalised, Onto::Row(biases[0]));
        let images = qkv.chunks(shape.tokens * 3 * dim).zip(seen.chunks_mut(shape.tokens * dim));
        let mut sums = Vec::with_capacity(rows * shape.heads);
        for (qkv, seen) in images {
            let parts = MatrixMut::new(seen, dim).parts(shape.tokens, dim / shape.heads);
            for (head, seen) in parts.into_iter().enumerate() {
                sums.extend(shape.head(qkv, head).forward(seen));
            }
        }
        dispatch(AddRow { x, row: biases[1], y });
        weights[1].product(&mut MatrixMut::new(y, dim), Matrix::new(seen, dim), Onto::Old);
        (moments, sums)
    }
}

impl<B: Host> Layer<B> {
    /// The weights as they are stored: `[3 · dim, dim]` and `[dim, dim]`.
    fn matrices(&self) -> [Matrix<'_>; 2] {
        [&self.qkv_weight, &self.proj_weight].map(|weight| Matrix::new(B::values(weight), self.shape.dim))
    }
}
