//! Batch normalisation, with batch statistics or with given ones.

use burn::tensor::{Tensor, module};

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
    #[cfg(feature = "flex")]
    if super::flex::serves(&[&input.device(), &weight.device(), &bias.device()])
        && super::flex::is_f32(&input)
    {
        let plain =
            !input.device().is_autodiff() && !weight.device().is_autodiff() && !bias.device().is_autodiff();
        let out = super::flex::batch_norm_train(input, weight, bias, eps);
        return if plain { BatchNormOutput { output: out.output.inner(), ..out } } else { out };
    }
    portable(input, weight, bias, eps)
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
