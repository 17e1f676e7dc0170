//! Images as pixels of sixteen channels, `[batch, block, height, width, 16]`: the layout in which convolutions read and write them.
//!
//! Channels past the last one, in the last block, may have any value that is finite. Weights that are read with them are 0.

mod packing;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use super::pool::{Room, any_pixels};
use super::simd::{LANES, Lanes};
use super::{Bridge, Host, Tracked, tensor, tracked};
pub(super) use packing::{packed, unpacked};

/// The pixels of planes.
pub(in crate::ops) fn pixels_of_planes<B: Host>(planes: Tensor<4>) -> Tensor<5>
where
    DispatchTensor: Bridge<B>,
{
    let image = planes.dims();
    moved::<B, 4, 5>(planes, Move { image, to: Layout::Pixels })
}

/// The planes of pixels that have so many channels.
pub(in crate::ops) fn planes_of_pixels<B: Host>(pixels: Tensor<5>, channels: usize) -> Tensor<4>
where
    DispatchTensor: Bridge<B>,
{
    let [batch, _, height, width, _] = pixels.dims();
    moved::<B, 5, 4>(pixels, Move { image: [batch, channels, height, width], to: Layout::Planes })
}

/// How images lie in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// `[batch, channel, height, width]`
    Planes,
    /// `[batch, block, height, width, 16]`
    Pixels,
}

/// A change of the layout.
#[derive(Clone, Copy, Debug)]
struct Move {
    /// `[batch, channel, height, width]`
    image: [usize; 4],
    to: Layout,
}

fn moved<B: Host, const D: usize, const E: usize>(x: Tensor<D>, change: Move) -> Tensor<E>
where
    DispatchTensor: Bridge<B>,
{
    let plain = !x.device().is_autodiff();
    let x = tracked::<B>(x);
    let node = x.node();
    let output = change.of::<B>(x.primitive());
    if plain {
        return Tensor::from_primitive::<B>(output);
    }
    let output = match change.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(change, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked<B>>(output)
}

impl Move {
    fn of<B: Host>(self, x: &FloatTensor<B>) -> FloatTensor<B> {
        let [batch, channels, height, width] = self.image;
        match self.to {
            Layout::Planes => {
                let x = readable::<B>(x);
                tensor::<B>(unpacked::<B>(pixels::<B>(&x), channels, height * width), self.image)
            }
            Layout::Pixels => {
                let pixels = packed::<B>(B::values(&B::contiguous(x)), channels, height * width);
                B::tensor(pixels.into(), &[batch, channels.div_ceil(LANES), height, width, LANES])
            }
        }
    }

    fn back(self) -> Self {
        let to = match self.to {
            Layout::Planes => Layout::Pixels,
            Layout::Pixels => Layout::Planes,
        };
        Self { to, ..self }
    }
}

impl<B: Host> Backward<B, 1> for Move {
    type State = Self;

    fn backward(self, ops: Ops<Self, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, ops.state.back().of::<B>(&gradient));
        }
    }
}

/// A copy that begins with a cache line, which the pixels of a backend's own operations may not.
pub(super) fn aligned(values: &[f32]) -> Room {
    let mut pixels = any_pixels(values.len() / LANES);
    Lanes::values_mut(&mut pixels).copy_from_slice(values);
    pixels
}

/// The tensor itself, or a copy, whose pixels begin with a cache line and may be read as such.
pub(super) fn readable<B: Host>(tensor: &FloatTensor<B>) -> FloatTensor<B> {
    let tensor = B::contiguous(tensor);
    match Lanes::of_values(B::values(&tensor)) {
        Some(_) => tensor,
        None => copy::<B>(&tensor),
    }
}

/// The tensor itself, or a copy, whose pixels may be changed.
pub(super) fn writable<B: Host>(mut tensor: FloatTensor<B>) -> FloatTensor<B> {
    match B::own_values(&mut tensor).and_then(Lanes::of_values_mut) {
        Some(_) => tensor,
        None => copy::<B>(&B::contiguous(&tensor)),
    }
}

fn copy<B: Host>(tensor: &FloatTensor<B>) -> FloatTensor<B> {
    B::tensor(aligned(B::values(tensor)).into(), &tensor.shape().to_vec())
}

/// The pixels of a tensor that is [`readable`].
pub(super) fn pixels<B: Host>(tensor: &FloatTensor<B>) -> &[Lanes] {
    Lanes::of_values(B::values(tensor)).expect("made readable before")
}

/// The pixels of a tensor that is [`writable`].
pub(super) fn pixels_mut<B: Host>(tensor: &mut FloatTensor<B>) -> &mut [Lanes] {
    B::own_values(tensor).and_then(Lanes::of_values_mut).expect("made writable before")
}
