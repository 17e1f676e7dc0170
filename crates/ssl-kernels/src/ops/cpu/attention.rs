//! Attention in blocks of pairs of tokens.
//!
//! ```text
//! S = scale · Q Kᵀ,   P = exp(S − log Σ exp S),   O = P V
//! dV = Pᵀ dO,   dS = scale · P ∘ (dO Vᵀ − rowsum(dO ∘ O)),   dQ = dS K,   dK = dSᵀ Q
//! ```
//!
//! One job computes a head of an image, block after block, so its sums have the same order on any number of threads.

mod rows;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use super::matrix::{Matrix, MatrixMut};
use super::parallel::map;
use super::pool::{Pooled, any_values};
use super::products::{Old, product};
use super::simd::dispatch;
use super::{Bridge, Host, Tracked, tensor, tracked};

/// Queries and keys of a block; its pairs fit in the second level of a cache.
const BLOCK: usize = 256;

/// See [`attention`](crate::ops::attention).
pub(in crate::ops) fn attention<B: Host>(qkv: Tensor<3>, heads: usize) -> Tensor<3>
where
    DispatchTensor: Bridge<B>,
{
    let plain = !qkv.device().is_autodiff();
    let shape = Shape::of(qkv.dims(), heads);
    let qkv = tracked::<B>(qkv);
    let node = qkv.node();
    let qkv = B::contiguous(qkv.primitive());
    let (sums, output) = forward::<B>(&qkv, shape);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match Attention.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            prepared.finish(Saved { shape, qkv, sums, output: output.clone() }, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    tokens: usize,
    heads: usize,
    head_dim: usize,
}

impl Shape {
    fn of([batch, tokens, width]: [usize; 3], heads: usize) -> Self {
        Self { batch, tokens, heads, head_dim: width / 3 / heads }
    }

    /// Length of an output token.
    fn dim(&self) -> usize {
        self.heads * self.head_dim
    }

    fn scale(&self) -> f32 {
        (1.0 / (self.head_dim as f64).sqrt()) as f32
    }

    /// The blocks of tokens.
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> + Clone + use<> {
        let tokens = self.tokens;
        (0..tokens).step_by(BLOCK).map(move |start| start..tokens.min(start + BLOCK))
    }

    /// Scratch memory for the pairs of a block.
    fn pairs(&self) -> Pooled {
        let side = BLOCK.min(self.tokens);
        any_values(side * side).into()
    }

    /// A head's tokens in a matrix of the tokens of all images.
    fn head<'a>(&self, values: &'a [f32], part: usize, job: usize) -> Matrix<'a> {
        let (image, head) = (job / self.heads, job % self.heads);
        let width = values.len() / (self.batch * self.tokens);
        let first = part * self.dim() + head * self.head_dim;
        Matrix::new(values, width)
            .rows(image * self.tokens..(image + 1) * self.tokens)
            .columns(first..first + self.head_dim)
    }
}

/// The logarithms of the sums of exponentials, `[batch, head, token]`, and the output.
fn forward<B: Host>(qkv: &FloatTensor<B>, shape: Shape) -> (Vec<f32>, FloatTensor<B>) {
    let Shape { batch, tokens, head_dim, .. } = shape;
    let dim = shape.dim();
    let mut output = any_values(batch * tokens * dim);
    if output.is_empty() {
        return (Vec::new(), tensor::<B>(output, [batch, tokens, dim]));
    }
    let values = B::values(qkv);
    let jobs = MatrixMut::new(&mut output, dim).parts(tokens, head_dim).into_iter().enumerate();
    let sums = map::<B, _, _>(jobs, |(job, output)| {
        let [q, k, v] = [0, 1, 2].map(|part| shape.head(values, part, job));
        forward_head(shape, q, k, v, output)
    });
    (sums.concat(), tensor::<B>(output, [batch, tokens, dim]))
}

fn forward_head(
    shape: Shape,
    q: Matrix<'_>,
    k: Matrix<'_>,
    v: Matrix<'_>,
    mut output: MatrixMut<'_>,
) -> Vec<f32> {
    let mut pairs = shape.pairs();
    let mut sums = Vec::with_capacity(shape.tokens);
    for queries in shape.blocks() {
        let mut output = output.rows_mut(queries.clone());
        let mut running = vec![rows::Running::default(); queries.len()];
        for keys in shape.blocks() {
            let pairs = &mut pairs[..queries.len() * keys.len()];
            let block = (q.rows(queries.clone()), k.rows(keys.clone()).transposed());
            product(&mut MatrixMut::new(pairs, keys.len()), block.0, block.1, shape.scale(), Old::Replaced);
            let old = if keys.start == 0 { Old::Replaced } else { Old::Kept };
            dispatch(rows::Exponentials {
                pairs: &mut *pairs,
                columns: keys.len(),
                running: &mut running,
                output: (old == Old::Kept).then_some(&mut output),
            });
            product(&mut output, Matrix::new(pairs, keys.len()), v.rows(keys), 1.0, old);
        }
        dispatch(rows::Divide { output: &mut output, running: &running });
        sums.extend(running.iter().map(rows::Running::log_sum));
    }
    sums
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    shape: Shape,
    qkv: FloatTensor<B>,
    /// `[batch, head, token]`
    sums: Vec<f32>,
    output: FloatTensor<B>,
}

#[derive(Debug)]
struct Attention;

impl<B: Host> Backward<B, 1> for Attention {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        if let Some(node) = node {
            grads.register::<B>(node.id, ops.state.gradient(&gradient));
        }
    }
}

impl<B: Host> Saved<B> {
    /// The gradient of `qkv`.
    fn gradient(&self, gradient: &FloatTensor<B>) -> FloatTensor<B> {
        let shape = self.shape;
        let (qkv, output, gradient) = (B::values(&self.qkv), B::values(&self.output), B::values(gradient));
        let mut result = any_values(qkv.len());
        if !result.is_empty() {
            let parts = MatrixMut::new(&mut result, 3 * shape.dim()).parts(shape.tokens, shape.head_dim);
            // An image has the queries of all heads, then the keys, then the values.
            let mut parts = parts.into_iter();
            let mut jobs = Vec::with_capacity(shape.batch * shape.heads);
            for _ in 0..shape.batch {
                let mut next = || parts.by_ref().take(shape.heads).collect::<Vec<_>>();
                let (q, k, v) = (next(), next(), next());
                jobs.extend(q.into_iter().zip(k).zip(v).map(|((q, k), v)| [q, k, v]));
            }
            map::<B, _, ()>(jobs.into_iter().enumerate(), |(job, [dq, dk, dv])| {
                let [q, k, v] = [0, 1, 2].map(|part| shape.head(qkv, part, job));
                let sums = &self.sums[job * shape.tokens..][..shape.tokens];
                let (output, gradient) = (shape.head(output, 0, job), shape.head(gradient, 0, job));
                backward_head(&Head { shape, q, k, v, sums, output, gradient }, dq, dk, dv);
            });
        }
        tensor::<B>(result, self.qkv.shape().to_vec())
    }
}

/// What the backward pass of a head reads.
struct Head<'a> {
    shape: Shape,
    q: Matrix<'a>,
    k: Matrix<'a>,
    v: Matrix<'a>,
    sums: &'a [f32],
    output: Matrix<'a>,
    gradient: Matrix<'a>,
}

fn backward_head(head: &Head<'_>, mut dq: MatrixMut<'_>, mut dk: MatrixMut<'_>, mut dv: MatrixMut<'_>) {
    let Head { shape, q, k, v, sums, output, gradient } = *head;
    let (mut weights, mut slopes) = (shape.pairs(), shape.pairs());
    let products = dispatch(rows::Products { a: output, b: gradient, rows: shape.tokens });
    let kept = |first: bool| if first { Old::Replaced } else { Old::Kept };
    for keys in shape.blocks() {
        for queries in shape.blocks() {
            let (width, count) = (keys.len(), queries.len() * keys.len());
            let (weights, slopes) = (&mut weights[..count], &mut slopes[..count]);
            let (q, dy) = (q.rows(queries.clone()), gradient.rows(queries.clone()));
            let (k, v) = (k.rows(keys.clone()), v.rows(keys.clone()));
            product(&mut MatrixMut::new(weights, width), q, k.transposed(), shape.scale(), Old::Replaced);
            product(&mut MatrixMut::new(slopes, width), dy, v.transposed(), 1.0, Old::Replaced);
            dispatch(rows::Slopes {
                weights: &mut *weights,
                slopes: &mut *slopes,
                columns: width,
                sums: &sums[queries.clone()],
                products: &products[queries.clone()],
                scale: shape.scale(),
            });
            let (weights, slopes) = (Matrix::new(weights, width), Matrix::new(slopes, width));
            let old = kept(queries.start == 0);
            product(&mut dv.rows_mut(keys.clone()), weights.transposed(), dy, 1.0, old);
            product(&mut dk.rows_mut(keys.clone()), slopes.transposed(), q, 1.0, old);
            product(&mut dq.rows_mut(queries), slopes, k, 1.0, kept(keys.start == 0));
        }
    }
}
