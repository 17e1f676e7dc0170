//! Convolution as matrix products over unfolded patches.
//!
//! ```text
//! forward:   y  = W · unfold(x)
//! backward:  dW = Σ dy · unfold(x)ᵀ,    dx = fold(Wᵀ · dy)
//! ```
//!
//! Images go through in groups, large enough that the products are worth their start, small enough for a cache.

use burn::backend::TensorMetadata;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::unfold::{Geometry, fold, gather_channels, scatter_channels, unfold};
use super::{Tracked, tensor, tracked, values};

/// Columns of an unfolded group, at least; fewer make the products inefficient (measured on 32-pixel images).
const COLUMNS: usize = 1024;

/// Parts whose weight gradients are summed on their own. Fixed, so that the order of the sum, and with it every bit, does
/// not depend on the number of threads.
const PARTS: usize = 16;

/// See [`conv2d`](crate::ops::conv2d).
pub(in crate::ops) fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let shape = Shape { stride, padding };
    if !x.device().is_autodiff() && !weight.device().is_autodiff() {
        let x = x.try_into_primitive::<Flex>().expect("the device was checked");
        let weight = weight.try_into_primitive::<Flex>().expect("the device was checked");
        return Tensor::from_primitive::<Flex>(shape.forward(&x.to_contiguous(), &weight.to_contiguous()));
    }
    let x = tracked(x).try_into_primitive::<Tracked>().expect("the device was checked");
    let weight = tracked(weight).try_into_primitive::<Tracked>().expect("the device was checked");
    let (x_values, weight_values) = (x.primitive().to_contiguous(), weight.primitive().to_contiguous());
    let output = shape.forward(&x_values, &weight_values);
    let prepared = Convolution
        .prepare::<burn::backend::autodiff::checkpoint::strategy::NoCheckpointing>([x.node(), weight.node()]);
    let output = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((x_values, weight_values, shape), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked>(output)
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    stride: usize,
    padding: usize,
}

#[derive(Debug)]
struct Convolution;

impl Backward<Flex, 2> for Convolution {
    type State = (FlexTensor, FlexTensor, Shape);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, weight, shape) = ops.state;
        let (dx, dw) = shape.backward(&x, &weight, &grad, x_node.is_some(), weight_node.is_some());
        let mut register = |node: Option<NodeId>, gradient: Option<FlexTensor>| {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node, gradient);
            }
        };
        register(x_node.map(|node| node.id), dx);
        register(weight_node.map(|node| node.id), dw);
    }
}

impl Shape {
    fn geometry(self, x: &FlexTensor, weight: &FlexTensor) -> Geometry {
        Geometry::new(x.shape().dims(), weight.shape().dims(), self.stride, self.padding)
    }

    fn forward(self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let g = self.geometry(x, weight);
        let [batch, ..]: [usize; 4] = x.shape().dims();
        let mut output = vec![0.0; batch * g.image_out()];
        let group = images_per_group(&g);
        let jobs =
            output.par_chunks_mut(group * g.image_out()).zip(values(x).par_chunks(group * g.image_in()));
        jobs.for_each_init(Buffers::default, |buffers, (output, images)| {
            forward_group(&g, images, values(weight), output, buffers);
        });
        tensor(output, [batch, g.channels_out, g.output[0], g.output[1]])
    }

    fn backward(
        self,
        x: &FlexTensor,
        weight: &FlexTensor,
        grad: &FlexTensor,
        needs_dx: bool,
        needs_dw: bool,
    ) -> (Option<FlexTensor>, Option<FlexTensor>) {
        let g = self.geometry(x, weight);
        let group = images_per_group(&g);
        let [batch, ..]: [usize; 4] = x.shape().dims();
        let part = batch.div_ceil(group).div_ceil(PARTS) * group;
        // Without a need for it, the gradient of the images has length 0 and every part gets an empty piece of it.
        let mut dx = vec![0.0; if needs_dx { batch * g.image_in() } else { 0 }];
        let mut pieces: Vec<&mut [f32]> = dx.chunks_mut(part * g.image_in()).collect();
        pieces.resize_with(batch.div_ceil(part), Default::default);
        let images = values(x).par_chunks(part * g.image_in());
        let grads = values(grad).par_chunks(part * g.image_out());
        let jobs = pieces.into_par_iter().zip(images).zip(grads);
        let sums: Vec<Vec<f32>> = jobs
            .map(|((dx, images), grads)| {
                let mut dw = vec![0.0; if needs_dw { weight.shape().num_elements() } else { 0 }];
                backward_part(&g, group, images, values(weight), grads, dx, &mut dw);
                dw
            })
            .collect();
        let dw = needs_dw.then(|| tensor(sum(sums), weight.shape().to_vec()));
        (needs_dx.then(|| tensor(dx, x.shape().to_vec())), dw)
    }
}

/// Scratch memory of one thread.
#[derive(Default)]
struct Buffers {
    columns: Vec<f32>,
    rows: Vec<f32>,
}

fn images_per_group(g: &Geometry) -> usize {
    COLUMNS.div_ceil(g.pixels_out()).max(1)
}

fn forward_group(g: &Geometry, images: &[f32], weight: &[f32], output: &mut [f32], buffers: &mut Buffers) {
    let count = images.len() / g.image_in();
    let columns_len = count * g.pixels_out();
    let columns = unfolded(g, images, &mut buffers.columns);
    let weight = Matrix::rows(weight, g.channels_out, g.patch());
    let columns = Matrix::rows(columns, g.patch(), columns_len);
    if count == 1 {
        return product(weight, columns, false, output);
    }
    buffers.rows.resize(output.len(), 0.0);
    product(weight, columns, false, &mut buffers.rows);
    scatter_channels(&buffers.rows, g.channels_out, g.pixels_out(), output);
}

/// The gradients of some images: `dx` is written, `dw` is added to; either may be empty.
fn backward_part(
    g: &Geometry,
    group: usize,
    images: &[f32],
    weight: &[f32],
    grads: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let mut buffers = Buffers::default();
    let mut pieces: Vec<&mut [f32]> = dx.chunks_mut(group * g.image_in()).collect();
    pieces.resize_with(images.len().div_ceil(group * g.image_in()), Default::default);
    let groups = images.chunks(group * g.image_in()).zip(grads.chunks(group * g.image_out()));
    for ((images, grads), dx) in groups.zip(pieces) {
        let columns_len = images.len() / g.image_in() * g.pixels_out();
        buffers.rows.resize(grads.len(), 0.0);
        gather_channels(grads, g.channels_out, g.pixels_out(), &mut buffers.rows);
        let rows = Matrix::rows(&buffers.rows, g.channels_out, columns_len);
        if !dw.is_empty() {
            let columns = unfolded(g, images, &mut buffers.columns);
            product(rows, Matrix::rows(columns, g.patch(), columns_len).transposed(), true, dw);
        }
        if !dx.is_empty() {
            buffers.columns.resize(g.patch() * columns_len, 0.0);
            let weight = Matrix::rows(weight, g.channels_out, g.patch());
            product(weight.transposed(), rows, false, &mut buffers.columns);
            fold(g, &buffers.columns, dx);
        }
    }
}

fn unfolded<'a>(g: &Geometry, images: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if g.is_pointwise() && images.len() == g.image_in() {
        return images;
    }
    buffer.resize(g.patch() * images.len() / g.image_in() * g.pixels_out(), 0.0);
    unfold(g, images, buffer);
    buffer
}

/// The sum of equally long vectors, in their order.
fn sum(vectors: Vec<Vec<f32>>) -> Vec<f32> {
    let add = |mut total: Vec<f32>, vector: Vec<f32>| {
        total.iter_mut().zip(vector).for_each(|(t, v)| *t += v);
        total
    };
    vectors.into_iter().reduce(add).unwrap_or_default()
}

/// A matrix over borrowed values.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<'a> Matrix<'a> {
    fn rows(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self { values, rows, columns, row_stride: columns as isize, column_stride: 1 }
    }

    fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// `out ← a · b`, or `out ← out + a · b`, with `out` in row-major order, on the calling thread.
fn product(a: Matrix<'_>, b: Matrix<'_>, add: bool, out: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "matrix product: inner lengths");
    assert_eq!(out.len(), a.rows * b.columns, "matrix product: length of the output");
    #[allow(unsafe_code)] // the matrix product of the `gemm` crate takes pointers
    // SAFETY: the strides reach rows · columns values of each slice and no more, which the assertions above and in
    // `Matrix::rows` check, and `out` is borrowed mutably, so nothing else reads or writes it.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            add,
            a.values.as_ptr(),
            a.column_stride,
            a.row_stride,
            b.values.as_ptr(),
            b.column_stride,
            b.row_stride,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::conv;
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

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
        ] {
            let x = Tensor::random([batch, from, size, size], Distribution::Uniform(-1.0, 1.0), &device);
            let weight =
                Tensor::random([to, from, kernel, kernel], Distribution::Uniform(-1.0, 1.0), &device);
            let ours = run(&x, &weight, |x, w| conv::conv2d(x, w, None, stride, padding));
            let portable = run(&x, &weight, |x, w| conv::portable(x, w, None, stride, padding));
            let close = |a: Tensor<4>, b: Tensor<4>| {
                a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::rel_abs(1e-4, 1e-4));
            };
            close(ours.0, portable.0);
            close(ours.1, portable.1);
            close(ours.2, portable.2);
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
