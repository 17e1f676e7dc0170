//! Given statistics instead of those of the batch.

use burn::backend::DispatchTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use super::{Column, Finish, Layout, Moments, Norm, check_shortcut};
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
    let (layout, given) = (Layout::of(x.dims(), norm), Given::<B>::of(x.dims(), parameters, epilogue, norm));
    let x = readable::<B>(tracked::<B>(x).primitive());
    Tensor::from_primitive::<B>(layout.forward::<B>(&x, given.finish()))
}

/// A normalisation with given statistics, and what comes after it.
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
        [weight, bias, mean, variance]: [Tensor<1>; 4],
        epilogue: Epilogue<5>,
        norm: Norm,
    ) -> Self {
        check_shortcut(&epilogue, shape);
        let layout = Layout::of(shape, norm);
        let (shortcut, relu) = epilogue.parts();
        let shortcut = shortcut.map(|shortcut| readable::<B>(tracked::<B>(shortcut).primitive()));
        let [weight, bias, mean, variance] =
            [weight, bias, mean, variance].map(|values| B::contiguous(tracked::<B>(values).primitive()));
        let moments = layout.given(B::values(&mean), B::values(&variance), norm.eps);
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
