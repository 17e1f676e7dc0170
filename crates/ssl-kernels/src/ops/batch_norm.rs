//! Batch normalisation, with batch statistics or with given ones.

use burn::tensor::{Tensor, module};

use super::relu;

/// Normalised values together with the statistics that normalised them.
pub struct BatchNormOutput<const D: usize> {
    /// `[batch, channel, ...]`, the shape of the input.
    pub output: Tensor<D>,
    /// `[channel]`, mean of the batch, without gradient.
    pub mean: Tensor<1>,
    /// `[channel]`, biased variance of the batch, without gradient.
    pub variance: Tensor<1>,
}

/// Batch normalisation with the statistics of the batch; gradients flow through the statistics.
///
/// ```text
/// y = weight · (x − mean(x)) / sqrt(var(x) + eps) + bias      var: biased, both over all axes but the channel
/// ```
///
/// # Shapes
/// - `input`: `[batch, channel, ...]`, `weight`, `bias`: `[channel]`
pub fn batch_norm_train<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> BatchNormOutput<D> {
    followed(input, weight, bias, After::Nothing, eps)
}

/// Batch normalisation, a shortcut and a rectifier: the end of a residual block.
///
/// ```text
/// y = max(0, batch_norm_train(x) + shortcut)
/// ```
///
/// # Shapes
/// - `input`, `shortcut`: `[batch, channel, ...]`, `weight`, `bias`: `[channel]`
pub fn batch_norm_relu_train<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    shortcut: Option<Tensor<D>>,
    eps: f64,
) -> BatchNormOutput<D> {
    followed(input, weight, bias, shortcut.map_or(After::Relu, After::AddRelu), eps)
}

/// What follows a batch normalisation in the same pass.
#[allow(clippy::large_enum_variant)] // a tensor is a handle, and one of these lives for one call
pub(super) enum After<const D: usize> {
    /// Nothing.
    Nothing,
    /// A rectifier.
    Relu,
    /// The sum with a shortcut, and a rectifier.
    AddRelu(Tensor<D>),
}

impl<const D: usize> After<D> {
    /// What is added, if anything is.
    #[cfg(any(feature = "flex", feature = "tch"))]
    pub(super) fn shortcut(&self) -> Option<&Tensor<D>> {
        if let Self::AddRelu(shortcut) = self { Some(shortcut) } else { None }
    }

    /// The same as operations of their own.
    pub(super) fn apply(self, output: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Nothing => output,
            Self::Relu => relu(output),
            Self::AddRelu(shortcut) => relu(output + shortcut),
        }
    }
}

fn followed<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    after: After<D>,
    eps: f64,
) -> BatchNormOutput<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    let devices = {
        let shortcut = after.shortcut().unwrap_or(&input);
        &[&input.device(), &weight.device(), &bias.device(), &shortcut.device()]
    };
    #[cfg(feature = "flex")]
    if super::flex::serves(devices)
        && super::flex::loops_take(&input)
        && super::flex::loops_take(&weight)
        && super::flex::loops_take(&bias)
        && after.shortcut().is_none_or(super::flex::loops_take)
    {
        return super::cpu::batch_norm_train::<super::flex::Flex, D>(input, weight, bias, after, eps);
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(devices)
        && input.dtype() == weight.dtype()
        && input.shape().num_elements() > weight.shape().num_elements()
    {
        return super::libtorch::batch_norm_train(input, weight, bias, after, eps);
    }
    let out = portable(input, weight, bias, eps);
    BatchNormOutput { output: after.apply(out.output), ..out }
}

/// The same through Burn's own operation.
pub(super) fn portable<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> BatchNormOutput<D> {
    let out = module::batch_norm_train(input, weight, bias, eps);
    BatchNormOutput { output: out.output, mean: out.mean, variance: out.variance }
}

/// Batch normalisation with given statistics.
///
/// # Shapes
/// - `input`: `[batch, channel, ...]`, everything else: `[channel]`
pub fn batch_norm_eval<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    module::batch_norm(input, weight, bias, mean, variance, eps)
}
