//! Batch normalisation with batch statistics or given statistics.

use burn::tensor::{Tensor, module};

use super::batch_norm_output::BatchNormOutput;
use super::epilogue::Epilogue;
use super::relu;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::{any_rank::AnyRank, host::host_of};

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
    normalised(input, weight, bias, Epilogue::None, eps)
}

/// Batch normalisation, a shortcut and ReLU: the end of a residual block.
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
    normalised(input, weight, bias, shortcut.map_or(Epilogue::Relu, Epilogue::AddRelu), eps)
}

fn normalised<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epilogue: Epilogue<D>,
    eps: f64,
) -> BatchNormOutput<D> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(input, weight, bias, (*epilogue.shortcut().unwrap_or(&input))) {
        let (shortcut, relu) = epilogue.parts();
        let shortcut = shortcut.map(AnyRank::from);
        let (output, [mean, variance]) =
            host.batch_norm_train(input.into(), [weight, bias], shortcut, relu, eps);
        return BatchNormOutput { output: output.ranked(), mean, variance };
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&[&input.device(), &weight.device(), &bias.device()])
        && epilogue.shortcut().is_none_or(|shortcut| super::libtorch::serves(&[&shortcut.device()]))
        && input.dtype() == weight.dtype()
        && input.shape().num_elements() > weight.shape().num_elements()
    {
        return super::libtorch::batch_norm_train(input, weight, bias, epilogue, eps);
    }
    let out = portable(input, weight, bias, eps);
    BatchNormOutput { output: epilogue.apply(out.output, relu), ..out }
}

/// The portable version, with Burn's own operation.
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
