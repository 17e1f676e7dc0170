//! Rows scaled to a length, in one pass forward and one backward.
//!
//! ```text
//! u = x / max(‖x‖, eps),   y = g u
//! dx = g (dy − u ⟨u, dy⟩) / ‖x‖, or g dy / eps where the norm is below eps;   dg = ⟨u, dy⟩
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
use super::scalar_product::scalar_product;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, Tracked, owned, tensor, tracked};

/// Values per job, about.
const PIECE: usize = 1 << 14;
/// See [`rows_of_length`](crate::ops::rows_of_length).
pub(in crate::ops) fn rows_of_length<B: Host>(x: Tensor<2>, lengths: Option<Tensor<2>>, eps: f64) -> Tensor<2>
where
    DispatchTensor: Bridge<B>,
{
    let scaled = lengths.is_some();
    // Without lengths, a constant takes the place of their node.
    let lengths = lengths.unwrap_or_else(|| Tensor::ones([1, 1], &x.device().inner()));
    let plain = ![x.device(), lengths.device()].iter().any(Device::is_autodiff);
    let (x, lengths) = (tracked::<B>(x), tracked::<B>(lengths));
    let nodes = [x.node(), lengths.node()];
    let x = B::contiguous(x.primitive());
    let lengths = scaled.then(|| B::contiguous(lengths.primitive()));
    let [rows, _]: [usize; 2] = x.shape().dims();
    if let Some(lengths) = &lengths {
        assert_eq!(lengths.shape().num_elements(), rows, "rows of length: number of lengths and of rows");
    }
    let (norms, output) = forward::<B>(&x, lengths.as_ref(), eps as f32);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match Rows.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Saved { x, lengths, norms, eps: eps as f32 }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

/// Rows of a job.
fn rows_of_job(dim: usize) -> usize {
    (PIECE / dim.max(1)).max(1)
}

/// The norms of the rows, at least `eps`, and the output.
fn forward<B: Host>(
    x: &FloatTensor<B>,
    lengths: Option<&FloatTensor<B>>,
    eps: f32,
) -> (Vec<f32>, FloatTensor<B>) {
    let [rows, dim]: [usize; 2] = x.shape().dims();
    let mut output = any_values(rows * dim);
    let of_job = rows_of_job(dim);
    let lengths = lengths.map(|lengths| B::values(lengths).chunks(of_job)).into_iter().flatten();
    let lengths = lengths.map(Some).chain(std::iter::repeat(None));
    let length = (of_job * dim).max(1);
    let jobs = B::values(x).chunks(length).zip(output.chunks_mut(length)).zip(lengths);
    let norms = map::<B, _, _>(jobs, |((x, y), lengths)| dispatch(Scale { x, lengths, dim, eps, y }));
    (norms.concat(), tensor::<B>(output, [rows, dim]))
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    x: FloatTensor<B>,
    lengths: Option<FloatTensor<B>>,
    norms: Vec<f32>,
    eps: f32,
}

#[derive(Debug)]
struct Rows;

impl<B: Host> Backward<B, 2> for Rows {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, lengths_node] = ops.parents.map(|node| node.map(|node| node.id));
        let Saved { x, lengths, norms, eps } = ops.state;
        let mut gradient = owned::<B>(grads.consume::<B>(&ops.node));
        let [rows, dim]: [usize; 2] = x.shape().dims();
        let of_job = rows_of_job(dim);
        let values = B::own_values(&mut gradient).expect("made one's own above");
        let lengths = lengths.as_ref().map(|lengths| B::values(lengths).chunks(of_job));
        let lengths = lengths.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
        let length = (of_job * dim).max(1);
        let jobs = B::values(&x).chunks(length).zip(values.chunks_mut(length));
        let jobs = jobs.zip(norms.chunks(of_job)).zip(lengths);
        let along = map::<B, _, _>(jobs, |(((x, gradient), norms), lengths)| {
            dispatch(Slope { x, lengths, norms, dim, eps, gradient })
        });
        if let Some(node) = lengths_node {
            grads.register::<B>(node, tensor::<B>(along.concat(), [rows, 1]));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node, gradient);
        }
    }
}

/// Scales rows, and returns their norms.
struct Scale<'a> {
    x: &'a [f32],
    lengths: Option<&'a [f32]>,
    dim: usize,
    eps: f32,
    y: &'a mut [f32],
}

impl Job for Scale<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let rows = self.x.chunks_exact(self.dim).zip(self.y.chunks_exact_mut(self.dim)).enumerate();
        let mut norms = Vec::with_capacity(self.x.len() / self.dim);
        for (row, (x, y)) in rows {
            let norm = scalar_product(x, x).sqrt().max(self.eps);
            let length = self.lengths.map_or(1.0, |lengths| lengths[row]);
            for (y, x) in y.iter_mut().zip(x) {
                *y = x / norm * length;
            }
            norms.push(norm);
        }
        norms
    }
}

/// Replaces gradients of the output by those of the input, and returns those of the lengths.
struct Slope<'a> {
    x: &'a [f32],
    lengths: Option<&'a [f32]>,
    norms: &'a [f32],
    dim: usize,
    eps: f32,
    gradient: &'a mut [f32],
}

impl Job for Slope<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let rows = self.x.chunks_exact(self.dim).zip(self.gradient.chunks_exact_mut(self.dim)).enumerate();
        let mut along = Vec::with_capacity(self.norms.len());
        for (row, (x, gradient)) in rows {
            let norm = self.norms[row];
            let length = self.lengths.map_or(1.0, |lengths| lengths[row]);
            let part = scalar_product(x, gradient) / norm;
            // The norm of a short row is a constant.
            let back = if norm > self.eps { part / norm } else { 0.0 };
            let scale = length / norm;
            for (gradient, x) in gradient.iter_mut().zip(x) {
                *gradient = scale * (*gradient - x * back);
            }
            along.push(part);
        }
        along
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::comparison::{
        assert_close, assert_threads_change_no_bit, on_every_host, random, results,
    };
    use crate::ops::rows_of_length::{portable, rows_of_length};
    use burn::tensor::{Device, FloatDType, Tensor, TensorData, Tolerance};

    type Op = fn(Tensor<2>, Option<Tensor<2>>, f64) -> Tensor<2>;

    /// Output, and gradients of the rows and of the lengths, if there are any.
    fn run(x: &Tensor<2>, lengths: Option<&Tensor<2>>, op: Op) -> Vec<TensorData> {
        let tracked = |values: &Tensor<2>| Tensor::from_inner(values.clone()).require_grad();
        let (x, lengths) = (tracked(x), lengths.map(tracked));
        let y = op(x.clone(), lengths.clone(), 1e-3);
        match lengths {
            Some(lengths) => results!(y, x, lengths),
            None => results!(y, x),
        }
    }

    #[test]
    fn output_and_gradients_are_those_of_the_portable_operation() {
        for shape in [[1, 1], [5, 7], [3, 40], [700, 64]] {
            let (x, lengths) = (random(shape, 1), random([shape[0], 1], 2));
            for lengths in [None, Some(&lengths)] {
                let (ours, portable) = (run(&x, lengths, rows_of_length), run(&x, lengths, portable));
                assert_eq!(ours.len(), portable.len());
                for (ours, portable) in ours.iter().zip(&portable) {
                    ours.assert_approx_eq::<f32>(portable, Tolerance::rel_abs(1e-4, 1e-5));
                }
            }
        }
    }

    #[test]
    fn output_and_gradients_are_those_of_float64() {
        on_every_host(|| {
            // Without rows of one value, which have no gradient.
            for shape in [[1, 48], [5, 7], [3, 40], [700, 64]] {
                let (x, lengths) = (random(shape, 1), random([shape[0], 1], 2));
                let double = |values: &Tensor<2>| values.clone().cast(FloatDType::F64);
                for lengths in [None, Some(&lengths)] {
                    let want = run(&double(&x), lengths.map(double).as_ref(), portable);
                    let about = format!("{shape:?}, lengths: {}", lengths.is_some());
                    assert_close(&run(&x, lengths, rows_of_length), &want, 2e-6, &about);
                }
            }
        });
    }

    #[test]
    fn short_rows_have_the_gradient_of_a_constant_norm() {
        let x =
            Tensor::<2>::from_floats([[0.0, 0.0, 0.0], [1e-4, -2e-4, 0.0], [3.0, 4.0, 0.0]], &Device::flex());
        let (ours, portable) = (run(&x, None, rows_of_length), run(&x, None, portable));
        for (ours, portable) in ours.iter().zip(&portable) {
            ours.assert_approx_eq::<f32>(portable, Tolerance::rel_abs(1e-4, 1e-5));
        }
        let values = ours[0].iter::<f32>().collect::<Vec<_>>();
        assert_eq!((&values[..3], values[6]), (&[0.0; 3][..], 0.6));
    }

    #[test]
    fn no_row_has_no_output_and_no_gradient() {
        let x = Tensor::<2>::zeros([0, 4], &Device::flex());
        assert_eq!(run(&x, None, rows_of_length)[1].shape().to_vec(), [0, 4]);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, lengths) = (random([900, 65], 1), random([900, 1], 2));
        assert_threads_change_no_bit(|| run(&x, Some(&lengths), rows_of_length));
    }
}
