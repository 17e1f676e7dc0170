//! Batch normalisation of packed pixels and the operation after it.
//!
//! ```text
//! y = act(weight · x̂ + bias + shortcut),   x̂ = (x − mean) · scale,   scale = 1 / sqrt(var + eps)
//! ```
//!
//! A plane is a block of sixteen channels of one image. Sums go over planes in pieces that depend on the shape alone, so they have
//! the same bits on any number of threads.

mod again;
mod given;
mod layout;
mod planes;
mod sums;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Tensor};

use super::parallel::{each, map};
use super::pixels::{pixels, pixels_mut, readable, writable};
use super::pool::any_pixels;
use super::simd::{LANES, Lanes, dispatch};
use super::{Bridge, Host, Tracked, tensor, tracked};
use crate::ops::batch_norm_output::BatchNormOutput;
use crate::ops::epilogue::Epilogue;
pub(super) use again::Kept;
pub(in crate::ops) use again::Origin;
pub(super) use given::Given;
pub(in crate::ops) use given::batch_norm_eval_of_pixels;
use layout::{Column, Layout};
pub(super) use planes::{Finish, pieces};
use planes::{Forward, Gradient, Input, InputGradient};
use sums::{Deviations, GradientSums, Sums, total};

/// What of a normalisation is not a tensor.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Norm {
    /// Channels of the images.
    pub(in crate::ops) channels: usize,
    /// Groups of images that are normalised apart: image `i` belongs to group `i mod splits`.
    pub(in crate::ops) splits: usize,
    pub(in crate::ops) eps: f64,
}

/// [`batch_norm_train`](crate::ops::batch_norm_train) and the related functions, on packed pixels.
///
/// Also what the output can be computed from again, if it is ReLU of the normalisation and has gradients.
///
/// - `weight`, `bias`: `[split · channel]`, as are the statistics
pub(in crate::ops) fn batch_norm_of_pixels<B: Host>(
    x: Tensor<5>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epilogue: Epilogue<5>,
    norm: Norm,
) -> (BatchNormOutput<5>, Option<Origin>)
where
    DispatchTensor: Bridge<B>,
{
    check_shortcut(&epilogue, x.dims());
    let (shortcut, relu) = epilogue.parts();
    let added = shortcut.is_some();
    // Without a shortcut, a constant takes the place of its node.
    let shortcut = shortcut.unwrap_or_else(|| Tensor::zeros([1; 5], &x.device().inner()));
    let plain =
        ![x.device(), weight.device(), bias.device(), shortcut.device()].iter().any(Device::is_autodiff);
    let layout = Layout::of(x.dims(), norm);
    let (x, shortcut) = (tracked::<B>(x), tracked::<B>(shortcut));
    let (weight, bias) = (tracked::<B>(weight), tracked::<B>(bias));
    let nodes = [x.node(), weight.node(), bias.node(), shortcut.node()];

    let x = readable::<B>(x.primitive());
    let [weight, bias] = [weight, bias].map(|values| B::contiguous(values.primitive()));
    let shortcut = added.then(|| readable::<B>(shortcut.primitive()));
    let moments = layout.moments::<B>(pixels::<B>(&x), norm.eps);
    let columns: Arc<[Column]> = layout.columns(&moments, B::values(&weight), B::values(&bias)).into();
    let finish = Finish { columns: &columns, shortcut: shortcut.as_ref().map(pixels::<B>), relu };
    let output = layout.forward::<B>(&x, finish);
    let statistics = |of: fn(&Moments) -> Lanes| {
        let values = layout.values(moments.iter().map(of));
        let length = values.len();
        Tensor::from_primitive::<B>(tensor::<B>(values, [length]))
    };
    let (mean, variance) = (statistics(|m| m.mean), statistics(|m| m.variance));
    if plain {
        return (BatchNormOutput { output: Tensor::from_primitive::<B>(output), mean, variance }, None);
    }
    let mut origin = None;
    let output = match Normalisation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let then = match (relu, added) {
                (false, _) => Then::Nothing,
                (true, false) => Then::Relu,
                (true, true) => Then::AddRelu(output.clone()),
            };
            origin = matches!(then, Then::Relu).then(|| Origin::new::<B>(&x, layout, &columns));
            prepared.finish(Saved { layout, x, columns, moments, then }, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    (BatchNormOutput { output: Tensor::from_primitive::<Tracked<B>>(output), mean, variance }, origin)
}

/// The statistics of a column.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: Lanes,
    /// Biased.
    variance: Lanes,
    /// `1 / sqrt(variance + eps)`
    scale: Lanes,
}

impl Layout {
    fn moments<B: Host>(&self, x: &[Lanes], eps: f64) -> Vec<Moments> {
        // Deviations from the first plane's mean: squares of the raw values would cancel where the mean is large.
        let origins: Vec<Lanes> = (0..self.columns_count()).map(|column| self.origin(x, column)).collect();
        let jobs = x.chunks(self.piece()).enumerate();
        let parts = map::<B, _, _>(jobs, |(piece, x)| {
            dispatch(Deviations { layout: *self, piece, x, origins: &origins })
        });
        let sums = total(&parts, self.columns_count());
        sums.iter().zip(&origins).map(|(sums, origin)| self.moments_of(sums, origin, eps)).collect()
    }

    fn moments_of(&self, sums: &Sums, origin: &Lanes, eps: f64) -> Moments {
        let mut moments = Moments { mean: *origin, variance: *origin, scale: *origin };
        for lane in 0..LANES {
            let deviation = sums.plain[lane] / self.count();
            let variance = (sums.weighted[lane] / self.count() - deviation * deviation).max(0.0);
            moments.mean.0[lane] = (f64::from(origin.0[lane]) + deviation) as f32;
            moments.variance.0[lane] = variance as f32;
            moments.scale.0[lane] = (1.0 / (variance + eps).sqrt()) as f32;
        }
        moments
    }

    fn forward<B: Host>(&self, x: &FloatTensor<B>, finish: Finish<'_>) -> FloatTensor<B> {
        let mut output = any_pixels(pixels::<B>(x).len());
        let piece = self.piece();
        let jobs = pixels::<B>(x).chunks(piece).zip(output.chunks_mut(piece)).zip(finish.pieces(piece));
        each::<B, _>(jobs.enumerate(), |(piece, ((x, y), finish))| {
            dispatch(Forward { layout: *self, piece, finish, x, y });
        });
        B::tensor(output.into(), &x.shape().to_vec())
    }
}

/// # Panics
/// If the shortcut has another shape than the images, `[batch, block, height, width, 16]`.
fn check_shortcut(epilogue: &Epilogue<5>, images: [usize; 5]) {
    if let Some(shortcut) = epilogue.shortcut() {
        assert_eq!(shortcut.dims(), images, "batch norm: shape of the shortcut and of the input");
    }
}

/// The operation after the normalisation, with what its gradient needs.
#[derive(Clone, Debug)]
enum Then<B: Host> {
    Nothing,
    /// ReLU, whose argument is computed again.
    Relu,
    /// The sum with a shortcut, then ReLU, whose output this is.
    AddRelu(FloatTensor<B>),
}

impl<B: Host> Then<B> {
    /// The pieces of the output, if the gradient needs them.
    fn outputs(&self, piece: usize) -> impl Iterator<Item = Option<&[Lanes]>> {
        let output = match self {
            Self::AddRelu(output) => Some(pixels::<B>(output).chunks(piece)),
            Self::Nothing | Self::Relu => None,
        };
        output.into_iter().flatten().map(Some).chain(std::iter::repeat(None))
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved<B: Host> {
    layout: Layout,
    x: FloatTensor<B>,
    columns: Arc<[Column]>,
    moments: Vec<Moments>,
    then: Then<B>,
}

#[derive(Debug)]
struct Normalisation;

impl<B: Host> Backward<B, 4> for Normalisation {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [x_node, weight_node, bias_node, shortcut_node] =
            ops.parents.map(|node| node.map(|node| node.id));
        let saved = ops.state;
        let gradient = writable::<B>(grads.consume::<B>(&ops.node));
        let sums = saved.sums(pixels::<B>(&gradient));
        let vector = |of: fn(&Sums) -> &[f64; LANES]| {
            let lanes = sums.iter().map(|sums| Lanes(of(sums).map(|value| value as f32)));
            let values = saved.layout.values(lanes);
            let length = values.len();
            tensor::<B>(values, [length])
        };
        if let Some(node) = weight_node {
            grads.register::<B>(node, vector(|sums| &sums.weighted));
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node, vector(|sums| &sums.plain));
        }
        let (dx, dshortcut) = saved.gradients(gradient, &sums);
        if let Some(node) = x_node {
            grads.register::<B>(node, dx);
        }
        if let (Some(node), Some(dshortcut)) = (shortcut_node, dshortcut) {
            grads.register::<B>(node, dshortcut);
        }
    }
}

impl<B: Host> Saved<B> {
    /// Sums over the gradients behind ReLU, plain and weighted by the normalised values.
    fn sums(&self, dy: &[Lanes]) -> Vec<Sums> {
        let piece = self.layout.piece();
        let outputs = self.then.outputs(piece);
        let jobs = dy.chunks(piece).zip(pixels::<B>(&self.x).chunks(piece)).zip(outputs).enumerate();
        let parts = map::<B, _, _>(jobs, |(piece, ((dy, x), y))| {
            let gradient = Gradient { dy, x, y, relu: !matches!(self.then, Then::Nothing) };
            dispatch(GradientSums { layout: self.layout, piece, columns: &self.columns, gradient })
        });
        let mut sums = total(&parts, self.layout.columns_count());
        for (sums, moments) in sums.iter_mut().zip(&self.moments) {
            for lane in 0..LANES {
                sums.weighted[lane] *= f64::from(moments.scale.0[lane]);
            }
        }
        sums
    }

    /// Gradients of the input and of the shortcut, if there is one: then the first takes the memory of the input.
    fn gradients(self, mut dy: FloatTensor<B>, sums: &[Sums]) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
        let Self { layout, x, columns, moments, then } = self;
        let piece = layout.piece();
        let slopes: Vec<[Lanes; 2]> = sums.iter().zip(&moments).map(|s| layout.slopes(s.0, s.1)).collect();
        let (relu, added) = (!matches!(then, Then::Nothing), matches!(then, Then::AddRelu(_)));
        let mut x = if added { writable::<B>(x) } else { x };
        let input =
            if added { Input::Replaced(pixels_mut::<B>(&mut x)) } else { Input::Kept(pixels::<B>(&x)) };
        let jobs =
            pixels_mut::<B>(&mut dy).chunks_mut(piece).zip(input.chunks(piece)).zip(then.outputs(piece));
        each::<B, _>(jobs.enumerate(), |(piece, ((dy, x), y))| {
            let (columns, slopes) = (&columns, &slopes);
            dispatch(InputGradient { layout, piece, columns, slopes, dy, x, y, relu });
        });
        if added { (x, Some(dy)) } else { (dy, None) }
    }
}

impl Layout {
    /// The mean of the gradients, and their slope against `x − mean`.
    fn slopes(&self, sums: &Sums, moments: &Moments) -> [Lanes; 2] {
        let mut slopes = [Lanes::default(); 2];
        for lane in 0..LANES {
            slopes[0].0[lane] = (sums.plain[lane] / self.count()) as f32;
            slopes[1].0[lane] = (sums.weighted[lane] / self.count()) as f32 * moments.scale.0[lane];
        }
        slopes
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
