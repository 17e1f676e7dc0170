//! The backward pass.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;

use super::{Kept, Layer, Shape};
use crate::ops::cpu::attention::Gradient;
use crate::ops::cpu::feed_forward::rows::{AddAndSums, Again};
use crate::ops::cpu::layer_norm::BackwardRows;
use crate::ops::cpu::linear::SumRows;
use crate::ops::cpu::matrix::{Matrix, MatrixMut};
use crate::ops::cpu::panels::Onto;
use crate::ops::cpu::parallel::map;
use crate::ops::cpu::pool::any_values;
use crate::ops::cpu::products::over_rows;
use crate::ops::cpu::simd::dispatch;
use crate::ops::cpu::weight::Weight;
use crate::ops::cpu::{Host, tensor, total};

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(super) struct Saved<B: Host> {
    pub(super) layer: Layer<B>,
    pub(super) x: FloatTensor<B>,
    pub(super) kept: Kept<B>,
}

#[derive(Debug)]
pub(super) struct Half;

impl<B: Host> Backward<B, 7> for Half {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 7>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        let gradients = ops.state.gradients(&gradient);
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
    /// The gradients of the tokens and of all parameters, in the order of the nodes.
    fn gradients(&self, gradient: &FloatTensor<B>) -> [FloatTensor<B>; 7] {
        let (shape, seen, dy) = (self.layer.shape, B::values(&self.kept.seen), B::values(gradient));
        let (dim, rows) = (shape.dim, shape.rows());
        let (mut dx, mut normalised) = (any_values(rows * dim), any_values(rows * dim));
        let mut dqkv = any_values(rows * 3 * dim);
        let parts = self.backward_rows(dy, [&mut dx, &mut normalised, &mut dqkv]);
        let of_qkv = over_rows::<B>(Matrix::new(&dqkv, 3 * dim), Matrix::new(&normalised, dim));
        let of_proj = over_rows::<B>(Matrix::new(dy, dim), Matrix::new(seen, dim));
        let sums = |index: usize, length: usize| {
            tensor::<B>(total(length, parts.iter().map(|sums| sums[index].as_slice())), [length])
        };
        let [norm_weight, norm_bias, qkv_bias, proj_bias] =
            [(0, dim), (1, dim), (2, 3 * dim), (3, dim)].map(|(index, length)| sums(index, length));
        let dx = tensor::<B>(dx, self.x.shape().to_vec());
        [dx, norm_weight, norm_bias, of_qkv, qkv_bias, of_proj, proj_bias]
    }

    /// Writes the gradient of the tokens, the normalised tokens, and the gradients of queries, keys and values.
    fn backward_rows(&self, dy: &[f32], [dx, normalised, dqkv]: [&mut [f32]; 3]) -> Vec<Sums> {
        let Self { layer, x, kept } = self;
        let Shape { dim, of_job, heads, .. } = layer.shape;
        let length = of_job * dim;
        let read = B::values(x).chunks(length).zip(dy.chunks(length)).zip(kept.moments.chunks(of_job));
        let of_attention = B::values(&kept.qkv).chunks(3 * length).zip(B::values(&kept.seen).chunks(length));
        let of_attention = of_attention.zip(kept.sums.chunks(of_job * heads));
        let write = dx.chunks_mut(length).zip(normalised.chunks_mut(length)).zip(dqkv.chunks_mut(3 * length));
        let rows = kept.moments.len();
        let [qkv_weight, proj_weight] = layer.matrices().map(|weight| Weight::of::<B>(weight, rows));
        map::<B, _, _>(read.zip(of_attention).zip(write), |((read, of_attention), write)| {
            let (((x, dy), moments), ((dx, normalised), dqkv)) = (read, write);
            let mut dseen = any_values(dy.len());
            proj_weight.product(&mut MatrixMut::new(&mut dseen, dim), Matrix::new(dy, dim), Onto::Nothing);
            self.backward_attention(&dseen, of_attention, dqkv);
            let (weight, bias) = (B::values(&layer.norm_weight), B::values(&layer.norm_bias));
            dispatch(Again { x, y: normalised, moments, weight, bias });
            qkv_weight.product(&mut MatrixMut::new(dx, dim), Matrix::new(dqkv, 3 * dim), Onto::Nothing);
            let [norm_weight, norm_bias] = dispatch(BackwardRows { gradient: dx, x, moments, weight });
            let qkv_bias = dispatch(SumRows { rows: dqkv, columns: 3 * dim });
            let proj_bias = dispatch(AddAndSums { values: dx, others: dy, columns: dim });
            [norm_weight, norm_bias, qkv_bias, proj_bias]
        })
    }

    /// Writes the gradients of queries, keys and values of some images.
    fn backward_attention(
        &self,
        dseen: &[f32],
        ((qkv, seen), sums): ((&[f32], &[f32]), &[f32]),
        dqkv: &mut [f32],
    ) {
        let shape = self.layer.shape;
        let Shape { dim, tokens, heads, .. } = shape;
        let images = qkv.chunks(tokens * 3 * dim).zip(dqkv.chunks_mut(tokens * 3 * dim));
        let images = images.zip(seen.chunks(tokens * dim).zip(dseen.chunks(tokens * dim)));
        for (((qkv, dqkv), (seen, dseen)), sums) in images.zip(sums.chunks(tokens * heads)) {
            let mut parts = MatrixMut::new(dqkv, 3 * dim).parts(tokens, dim / heads).into_iter();
            let [q, k, v] = [0; 3].map(|_| parts.by_ref().take(heads).collect::<Vec<_>>());
            for (head, ((q, k), v)) in q.into_iter().zip(k).zip(v).enumerate() {
                let given = Gradient {
                    sums: &sums[head * tokens..][..tokens],
                    output: shape.columns(seen, head),
                    gradient: shape.columns(dseen, head),
                };
                shape.head(qkv, head).backward(&given, [q, k, v], None);
            }
        }
    }
}
