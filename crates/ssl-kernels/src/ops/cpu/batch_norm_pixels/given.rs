//! Given statistics instead of those of the batch.

use burn::backend::DispatchTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use super::{Column, Finish, Layout, Moments, Norm};
use crate::ops::cpu::pixels::{pixels, readable};
use crate::ops::cpu::simd::Lanes;
use crate::ops::cpu::{Bridge, Host, tracked};
use crate::ops::epilogue::Epilogue;

/// Normalisation of packed pixels with given statistics, without gradients.
///
/// - everything but `x` and the shortcut: `[channel]`
pub(in crate::ops) fn batch_norm_eval_of_pixels<B: Host>(
    x: Tensor<5>,
    parameters: [Tensor<1>; 4],
    epilogue: Epilogue<5>,
    norm: Norm,
) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let layout = Layout::of(x.dims(), norm);
    let x = readable::<B>(tracked::<B, 5>(x).primitive());
    let Given { columns, shortcut, relu } = Given::<B>::new(layout, parameters, epilogue, norm.eps);
    Tensor::from_primitive::<B>(layout.forward::<B>(&x, shortcut.as_ref(), relu, &columns))
}

/// A normalisation with given statistics and the operation after it, for what a convolution computes.
pub(in crate::ops::cpu) struct Given<B: Host> {
    columns: Vec<Column>,
    shortcut: Option<FloatTensor<B>>,
    relu: bool,
}

impl<B: Host> Given<B>
where
    DispatchTensor: Bridge<B>,
{
    /// Of images of a shape, `[batch, block, height, width, 16]`.
    ///
    /// # Panics
    /// If the shortcut has another shape.
    pub(in crate::ops::cpu) fn of(
        shape: [usize; 5],
        parameters: [Tensor<1>; 4],
        epilogue: Epilogue<5>,
        norm: Norm,
    ) -> Self {
        if let Some(shortcut) = epilogue.shortcut() {
            assert_eq!(shortcut.dims(), shape, "batch norm: shape of the shortcut and of the input");
        }
        Self::new(Layout::of(shape, norm), parameters, epilogue, norm.eps)
    }

    fn new(
        layout: Layout,
        [weight, bias, mean, variance]: [Tensor<1>; 4],
        epilogue: Epilogue<5>,
        eps: f64,
    ) -> Self {
        let (shortcut, relu) = epilogue.parts();
        let shortcut = shortcut.map(|shortcut| readable::<B>(tracked::<B, 5>(shortcut).primitive()));
        let [weight, bias, mean, variance] =
            [weight, bias, mean, variance].map(|values| B::contiguous(tracked::<B, 1>(values).primitive()));
        let moments = layout.given(B::values(&mean), B::values(&variance), eps);
        Self { columns: layout.columns(&moments, B::values(&weight), B::values(&bias)), shortcut, relu }
    }

    pub(in crate::ops::cpu) fn finish(&self) -> Finish<'_> {
        let shortcut = self.shortcut.as_ref().map(pixels::<B>);
        Finish { columns: &self.columns, shortcut, relu: self.relu }
    }
}

impl Layout {
    /// The moments of every column, of values by channel.
    fn given(&self, mean: &[f32], variance: &[f32], eps: f64) -> Vec<Moments> {
        let of = |column: usize| {
            let (mean, variance) = (self.lanes(mean, column), self.lanes(variance, column));
            let scale = Lanes(variance.0.map(|value| (1.0 / (f64::from(value) + eps).sqrt()) as f32));
            Moments { mean, variance, scale }
        };
        (0..self.columns_count()).map(of).collect()
    }
}
