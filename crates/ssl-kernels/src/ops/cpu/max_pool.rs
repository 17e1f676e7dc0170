//! The largest values of squares of packed pixels.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use super::batch_norm_pixels::{Kept, Origin};
use super::parallel::each;
use super::pixels::{pixels, readable};
use super::pool::any_pixels;
use super::simd::{Instructions, Job, LANES, Lanes, dispatch};
use super::{Bridge, Host, Tracked, tracked};

/// Maximum over squares, whose places outside of the image do not count. Pixels with an origin are computed again in the backward
/// pass.
pub(in crate::ops) fn max_pool2d_of_pixels<B: Host>(
    x: Tensor<5>,
    origin: Option<Origin>,
    square: Square,
) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let plain = !x.device().is_autodiff();
    let [batch, blocks, height, width, _] = x.dims();
    let window = Window::of([height, width], square);
    let x = tracked::<B>(x);
    let node = x.node();
    let x = readable::<B>(x.primitive());
    let [rows, columns] = window.output;
    let mut output = any_pixels(batch * blocks * rows * columns);
    let jobs = output.chunks_mut(rows * columns).zip(pixels::<B>(&x).chunks(height * width));
    each::<B, _>(jobs, |(y, x)| dispatch(Largest { window, x, y }));
    let output = B::tensor(output.into(), &[batch, blocks, rows, columns, LANES]);
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match MaxPool.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((Kept::new(x, origin), window), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

/// The squares of a pool.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Square {
    pub(in crate::ops) size: usize,
    pub(in crate::ops) stride: usize,
    pub(in crate::ops) padding: usize,
}

/// The squares of an image.
#[derive(Clone, Copy, Debug)]
struct Window {
    input: [usize; 2],
    output: [usize; 2],
    square: Square,
}

impl Window {
    fn of(input: [usize; 2], square: Square) -> Self {
        let Square { size, stride, padding } = square;
        assert!(
            2 * padding <= size,
            "max pool: padding {padding} of squares of {size}, expected at most half"
        );
        let output = input.map(|length| {
            assert!(length + 2 * padding >= size, "max pool: squares of {size} exceed an image of {length}");
            (length + 2 * padding - size) / stride + 1
        });
        Self { input, output, square }
    }

    /// The pixels of the square of an output, from left to right and from top to bottom.
    #[inline(always)]
    fn pixels(self, output: usize) -> impl Iterator<Item = usize> {
        let Square { size, stride, padding } = self.square;
        let range = |place: usize, length: usize| {
            let start = place * stride;
            start.saturating_sub(padding)..(start + size - padding).min(length)
        };
        let rows = range(output / self.output[1], self.input[0]);
        let columns = range(output % self.output[1], self.input[1]);
        rows.flat_map(move |row| columns.clone().map(move |column| row * self.input[1] + column))
    }
}

/// The largest values of a plane.
struct Largest<'a> {
    window: Window,
    x: &'a [Lanes],
    y: &'a mut [Lanes],
}

impl Job for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (index, y) in self.y.iter_mut().enumerate() {
            *y = largest(self.window, self.x, index);
        }
    }
}

#[inline(always)]
fn largest(window: Window, x: &[Lanes], output: usize) -> Lanes {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for pixel in window.pixels(output) {
        for (largest, value) in largest.iter_mut().zip(x[pixel].0) {
            // NaN stays.
            *largest = if *largest >= value || largest.is_nan() { *largest } else { value };
        }
    }
    Lanes(largest)
}

#[derive(Debug)]
struct MaxPool;

impl<B: Host> Backward<B, 1> for MaxPool {
    type State = (Kept<B>, Window);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let dy = readable::<B>(&grads.consume::<B>(&ops.node));
        let Some(node) = node else { return };
        let (x, window) = (ops.state.0.values(), ops.state.1);
        let ([height, width], [rows, columns]) = (window.input, window.output);
        let mut dx = any_pixels(pixels::<B>(&x).len());
        let planes = pixels::<B>(&x).chunks(height * width).zip(pixels::<B>(&dy).chunks(rows * columns));
        each::<B, _>(dx.chunks_mut(height * width).zip(planes), |(dx, (x, dy))| {
            dispatch(Spread { window, x, dy, dx });
        });
        grads.register::<B>(node.id, B::tensor(dx.into(), &x.shape().to_vec()));
    }
}

/// Adds the gradient of an output to that of the first pixel which has its value.
struct Spread<'a> {
    window: Window,
    x: &'a [Lanes],
    dy: &'a [Lanes],
    dx: &'a mut [Lanes],
}

impl Job for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        self.dx.fill(Lanes::default());
        for (index, dy) in self.dy.iter().enumerate() {
            let largest = largest(self.window, self.x, index);
            let mut rest = dy.0;
            for pixel in self.window.pixels(index) {
                let (x, dx) = (&self.x[pixel].0, &mut self.dx[pixel].0);
                for lane in 0..LANES {
                    let first = x[lane] == largest.0[lane];
                    dx[lane] += if first { rest[lane] } else { 0.0 };
                    rest[lane] = if first { 0.0 } else { rest[lane] };
                }
            }
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::FloatDType;

    use crate::ops::comparison::{assert_close, on_every_host, operand, packed, random, results};

    #[test]
    fn largest_values_and_their_gradients_are_those_of_float64() {
        on_every_host(|| {
            for (shape, [size, stride, padding]) in [
                ([1, 3, 7, 8], [3, 2, 1]),
                ([2, 20, 8, 7], [2, 2, 0]),
                ([5, 33, 9, 1], [3, 1, 1]),
                ([3, 16, 112, 5], [3, 2, 1]),
            ] {
                let run = |dtype| {
                    let x = operand(&random(shape, 1), dtype);
                    results!(packed(x.clone()).max_pool2d(size, stride, padding).into_planes(), x)
                };
                let about = format!("{shape:?}, squares of {size}");
                assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 1e-6, &about);
            }
        });
    }
}
