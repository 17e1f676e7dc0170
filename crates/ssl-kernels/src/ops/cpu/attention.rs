//! Attention in blocks of pairs of tokens.
//!
//! ```text
//! S = scale · Q Kᵀ + bias,   P = exp(S − log Σ exp S),   O = P V
//! dV = Pᵀ dO,   dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O)),   dQ = scale · dS K,   dK = scale · dSᵀ Q,   dbias = dS
//! ```
//!
//! One job computes a head of an image, block after block, so its sums have the same order on any number of threads.

mod head;
mod rows;
mod shape;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Tensor};

use super::matrix::MatrixMut;
use super::parallel::{each, map};
use super::pool::any_values;
use super::{Bridge, Host, Tracked, tensor, tracked};
use crate::ops::{AttentionInput, AttentionTokens};
pub(super) use head::{Gradient, Head};
use shape::Shape;

/// See [`attend`](crate::ops::attend).
pub(in crate::ops) fn attend<B: Host>(input: AttentionInput) -> Tensor<3>
where
    DispatchTensor: Bridge<B>,
{
    let shape = Shape::of(&input);
    let (queries, keys_values) = match input.tokens {
        AttentionTokens::Packed(qkv) => (qkv, None),
        AttentionTokens::Apart { queries, keys_values } => (queries, Some(keys_values)),
    };
    let (packed, biased) = (keys_values.is_none(), input.bias.is_some());
    // A constant takes the place of what is not there.
    let device = queries.device().inner();
    let keys_values = keys_values.unwrap_or_else(|| Tensor::zeros([1, 1, 1], &device));
    let bias = input.bias.unwrap_or_else(|| Tensor::zeros([1, 1, 1, 1], &device));
    let plain = ![queries.device(), keys_values.device(), bias.device()].iter().any(Device::is_autodiff);
    let (queries, keys_values) = (tracked::<B>(queries), tracked::<B>(keys_values));
    let bias = tracked::<B>(bias);
    let nodes = [queries.node(), keys_values.node(), bias.node()];
    let read = |tensor: FloatTensor<Tracked<B>>| B::contiguous(tensor.primitive());
    let operands = Operands::<B> {
        queries: read(queries),
        keys_values: (!packed).then(|| read(keys_values)),
        bias: biased.then(|| read(bias)),
    };
    let (sums, output) = operands.forward(&shape);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match Attention.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            prepared.finish(Saved { shape, operands, sums, output: output.clone() }, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

/// What attention reads.
#[derive(Clone, Debug)]
struct Operands<B: Host> {
    /// Queries, or queries, keys and values.
    queries: FloatTensor<B>,
    /// Keys and values, if they are not packed with the queries.
    keys_values: Option<FloatTensor<B>>,
    bias: Option<FloatTensor<B>>,
}

impl<B: Host> Operands<B> {
    /// The head that a job computes.
    fn head<'a>(&'a self, shape: &'a Shape, job: usize) -> Head<'a> {
        let queries = B::values(&self.queries);
        // In front of the keys are the queries, if they are packed.
        let (others, first) =
            self.keys_values.as_ref().map_or((queries, shape.dim()), |others| (B::values(others), 0));
        Head {
            scale: shape.scale(),
            q: shape.columns(queries, shape.queries, 0, job),
            k: shape.columns(others, shape.keys, first, job).rows(0..shape.length(job)),
            v: shape.columns(others, shape.keys, first + shape.dim(), job).rows(0..shape.length(job)),
            bias: self.bias.as_ref().map(|bias| shape.bias(B::values(bias), job)),
        }
    }

    /// The logarithms of the sums of exponentials, `[batch, head, query]`, and the output.
    fn forward(&self, shape: &Shape) -> (Vec<f32>, FloatTensor<B>) {
        let (count, dim) = (shape.batch * shape.queries, shape.dim());
        let mut output = any_values(count * dim);
        let mut sums = Vec::new();
        if !output.is_empty() {
            let jobs = MatrixMut::new(&mut output, dim).parts(shape.queries, shape.head_dim);
            let jobs = jobs.into_iter().enumerate();
            sums = map::<B, _, _>(jobs, |(job, output)| self.head(shape, job).forward(output)).concat();
        }
        (sums, tensor::<B>(output, [shape.batch, shape.queries, dim]))
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    shape: Shape,
    operands: Operands<B>,
    /// `[batch, head, query]`
    sums: Vec<f32>,
    output: FloatTensor<B>,
}

#[derive(Debug)]
struct Attention;

impl<B: Host> Backward<B, 3> for Attention {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let nodes = ops.parents.map(|node| node.map(|node| node.id));
        let gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        let gradients = ops.state.gradients(&gradient, nodes[2].is_some());
        for (node, gradient) in nodes.into_iter().zip(gradients) {
            if let Some((node, gradient)) = node.zip(gradient) {
                grads.register::<B>(node, gradient);
            }
        }
    }
}

impl<B: Host> Saved<B> {
    /// The gradients of the operands, in their order.
    fn gradients(&self, gradient: &FloatTensor<B>, wants_bias: bool) -> [Option<FloatTensor<B>>; 3] {
        let (shape, operands) = (&self.shape, &self.operands);
        let zeros = |tensor: &FloatTensor<B>| any_values(tensor.shape().num_elements());
        let mut dqueries = zeros(&operands.queries);
        let mut dothers = operands.keys_values.as_ref().map(zeros);
        let mut dbias = operands.bias.as_ref().filter(|_| wants_bias).map(zeros);
        if gradient.shape().num_elements() > 0 {
            let jobs = shape.gradients(&mut dqueries, dothers.as_deref_mut(), dbias.as_deref_mut());
            each::<B, _>(jobs, |job| self.of_job(B::values(gradient), job));
        } else {
            for values in [Some(&mut dqueries), dothers.as_mut(), dbias.as_mut()].into_iter().flatten() {
                values.fill(0.0);
            }
        }
        let like = |values, like: &FloatTensor<B>| tensor::<B>(values, like.shape().to_vec());
        [
            Some(like(dqueries, &operands.queries)),
            dothers.zip(operands.keys_values.as_ref()).map(|(values, keys_values)| like(values, keys_values)),
            dbias.zip(operands.bias.as_ref()).map(|(values, bias)| like(values, bias)),
        ]
    }

    /// One head of the images that share a gradient of the bias, one after another; else of one image.
    fn of_job(&self, gradient: &[f32], shape::Job { images, mut bias }: shape::Job<'_>) {
        let (shape, output) = (&self.shape, B::values(&self.output));
        for (index, (job, gradients)) in images.into_iter().enumerate() {
            let given = Gradient {
                sums: &self.sums[job * shape.queries..][..shape.queries],
                output: shape.columns(output, shape.queries, 0, job),
                gradient: shape.columns(gradient, shape.queries, 0, job),
            };
            let head = self.operands.head(shape, job);
            let bias = bias.as_mut().map(|bias| (bias, index == 0));
            head.backward(&given, gradients, bias);
        }
    }
}
