//! Linear layers as three matrix products, with the bias. GELU follows in a pass over the output; a shortcut, with the bias, is there
//! before the product.

use std::borrow::Cow;

use burn::backend::DispatchTensor;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Device, Tensor};

use super::matrix::{Matrix, MatrixMut};
use super::normal::normal;
use super::panels::Onto;
use super::parallel::{each, map};
use super::pool::any_values;
use super::products::over_rows;
use super::simd::{Instructions, Job, dispatch};
use super::weight::Weight;
use super::{Bridge, Host, Tracked, owned, tensor, total, tracked};
use crate::ops::any_rank::AnyRank;

/// Values per job of a pass over all values.
const PIECE: usize = 1 << 14;
/// Rows whose sum is computed in one go.
const SUMMED: usize = 256;

/// See [`linear`](crate::ops::linear), [`linear_onto`](crate::ops::linear_onto) and [`linear_gelu`](crate::ops::linear_gelu).
pub(in crate::ops) fn linear<B: Host>(
    shortcut: Option<AnyRank>,
    input: AnyRank,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    then_gelu: bool,
) -> AnyRank
where
    DispatchTensor: Bridge<B>,
{
    let (biased, onto) = (bias.is_some(), shortcut.is_some());
    // A constant takes the place of what is not there.
    let none = || Tensor::<1>::zeros([1], &weight.device().inner());
    let (bias, shortcut) = (bias.unwrap_or_else(none), shortcut.unwrap_or_else(|| none().into()));
    let devices = [input.device(), weight.device(), bias.device(), shortcut.device()];
    let plain = !devices.iter().any(Device::is_autodiff);
    let (x, w, bias) = (tracked::<B>(input), tracked::<B>(weight), tracked::<B>(bias));
    let shortcut = tracked::<B>(shortcut);
    let nodes = [x.node(), w.node(), bias.node(), shortcut.node()];
    let (x, w) = (B::contiguous(x.primitive()), B::contiguous(w.primitive()));
    let bias = biased.then(|| B::contiguous(bias.primitive()));
    let shortcut = onto.then(|| B::contiguous(shortcut.primitive()));
    let (slopes, output) = forward::<B>(&x, &w, bias.as_ref(), shortcut.as_ref(), then_gelu);
    if plain {
        return AnyRank::of::<B>(output);
    }
    let output = match LinearLayer.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(Saved { x, w, slopes }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    AnyRank::of::<Tracked<B>>(output)
}

/// The derivatives of GELU, if it was applied, and the output.
fn forward<B: Host>(
    x: &FloatTensor<B>,
    w: &FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    shortcut: Option<&FloatTensor<B>>,
    then_gelu: bool,
) -> (Option<FloatTensor<B>>, FloatTensor<B>) {
    let [outputs, inputs] = w.shape().dims::<2>();
    let mut shape = x.shape().to_vec();
    assert_eq!(shape.last(), Some(&inputs), "linear: length of an input's row, and that of the weight's");
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    if let Some(bias) = bias {
        assert_eq!(bias.shape().num_elements(), outputs, "linear: length of the bias and of an output's row");
    }
    let (bias, count) = (bias.map(B::values), shape.iter().product());
    let mut sums = any_values(count);
    let rows = (PIECE / outputs).max(1) * outputs;
    let onto = match (shortcut, bias) {
        (Some(shortcut), _) => {
            assert_eq!(shortcut.shape().to_vec(), shape, "linear: shapes of the shortcut and of the output");
            let pieces = sums.chunks_mut(rows).zip(B::values(shortcut).chunks(rows));
            each::<B, _>(pieces, |(sums, shortcut)| dispatch(Start { sums, shortcut, bias }));
            Onto::Old
        }
        (None, Some(bias)) if !then_gelu => Onto::Row(bias),
        _ => Onto::Nothing,
    };
    if count > 0 {
        let (x, w) = (Matrix::new(B::values(x), inputs), Matrix::new(B::values(w), inputs));
        let w = Weight::of::<B>(w.transposed(), x.rows);
        w.wide_product::<B>(MatrixMut::new(&mut sums, outputs), x, onto);
    }
    if !then_gelu {
        return (None, tensor::<B>(sums, shape));
    }
    let bias = bias.map_or_else(|| Cow::Owned(vec![0.0; outputs]), Cow::Borrowed);
    let mut output = any_values(count);
    let jobs = sums.chunks_mut(rows).zip(output.chunks_mut(rows));
    each::<B, _>(jobs, |(sums, output)| dispatch(Gelu { sums, bias: &bias, output }));
    (Some(tensor::<B>(sums, shape.clone())), tensor::<B>(output, shape))
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    /// The derivatives of GELU, if it was applied.
    slopes: Option<FloatTensor<B>>,
}

#[derive(Debug)]
struct LinearLayer;

impl<B: Host> Backward<B, 4> for LinearLayer {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, w_node, bias_node, shortcut_node] = ops.parents.map(|node| node.map(|node| node.id));
        let Saved { x, w, slopes } = ops.state;
        let mut gradient = B::contiguous(&grads.consume::<B>(&ops.node));
        if let Some(slopes) = slopes {
            gradient = through_gelu::<B>(gradient, &slopes);
        }
        let ([outputs, inputs], x_shape) = (w.shape().dims::<2>(), x.shape().to_vec());
        let is_empty = x.shape().num_elements() == 0;
        let dy = B::values(&gradient);
        if let Some(node) = x_node {
            let mut dx = any_values(x.shape().num_elements());
            if !is_empty {
                let (dy, w) = (Matrix::new(dy, outputs), Matrix::new(B::values(&w), inputs));
                let w = Weight::of::<B>(w, dy.rows);
                w.wide_product::<B>(MatrixMut::new(&mut dx, inputs), dy, Onto::Nothing);
            }
            grads.register::<B>(node, tensor::<B>(dx, x_shape));
        }
        if let Some(node) = w_node {
            let (dy, x) = (Matrix::new(dy, outputs), Matrix::new(B::values(&x), inputs));
            grads.register::<B>(node, over_rows::<B>(dy, x));
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node, tensor::<B>(column_sums::<B>(dy, outputs), [outputs]));
        }
        if let Some(node) = shortcut_node {
            grads.register::<B>(node, gradient);
        }
    }
}

/// The gradient of GELU's argument.
fn through_gelu<B: Host>(gradient: FloatTensor<B>, slopes: &FloatTensor<B>) -> FloatTensor<B> {
    let mut gradient = owned::<B>(gradient);
    let values = B::own_values(&mut gradient).expect("made one's own above");
    let jobs = values.chunks_mut(PIECE).zip(B::values(slopes).chunks(PIECE));
    each::<B, _>(jobs, |(values, slopes)| dispatch(Multiply { values, slopes }));
    gradient
}

/// The sums of all rows, in an order that does not depend on threads.
fn column_sums<B: Host>(values: &[f32], columns: usize) -> Vec<f32> {
    let parts = map::<B, _, _>(values.chunks(SUMMED * columns), |rows| dispatch(SumRows { rows, columns }));
    total(columns, parts.iter().map(Vec::as_slice))
}

/// Starts `sums` as the shortcut and the bias.
struct Start<'a> {
    sums: &'a mut [f32],
    shortcut: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Job for Start<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Some(bias) = self.bias else {
            self.sums.copy_from_slice(self.shortcut);
            return;
        };
        let rows = self.sums.chunks_exact_mut(bias.len()).zip(self.shortcut.chunks_exact(bias.len()));
        for (sums, shortcut) in rows {
            sums.iter_mut().zip(shortcut.iter().zip(bias)).for_each(|(sum, (x, bias))| *sum = x + bias);
        }
    }
}

/// Adds the bias to `sums`, writes GELU of that to `output`, and leaves its derivative in the place of the sums.
struct Gelu<'a> {
    sums: &'a mut [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
}

impl Job for Gelu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let length = self.bias.len();
        let rows = self.sums.chunks_exact_mut(length).zip(self.output.chunks_exact_mut(length));
        for (sums, output) in rows {
            for ((sum, y), bias) in sums.iter_mut().zip(output).zip(self.bias) {
                let x = *sum + bias;
                let (share, density) = normal(x);
                *y = x * share;
                *sum = share + x * density;
            }
        }
    }
}

struct Multiply<'a> {
    values: &'a mut [f32],
    slopes: &'a [f32],
}

impl Job for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        self.values.iter_mut().zip(self.slopes).for_each(|(value, slope)| *value *= slope);
    }
}

/// The sums of all rows.
pub(super) struct SumRows<'a> {
    pub(super) rows: &'a [f32],
    pub(super) columns: usize,
}

impl Job for SumRows<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let mut sums = vec![0.0; self.columns];
        for row in self.rows.chunks_exact(self.columns) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sums
    }
}
