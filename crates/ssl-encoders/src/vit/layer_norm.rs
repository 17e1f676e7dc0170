//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_core::{Init, nn};

/// Added to the variance (timm and DINO; PyTorch's default is 1e-5).
pub(super) const EPS: f64 = 1e-6;

/// Normalisation of each token over its own values, with PyTorch's names.
///
/// ```text
/// y = weight · (x − mean) / sqrt(var + 1e-6) + bias,   biased variance
/// ```
#[derive(Module, Debug)]
pub(super) struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// Starts with weight 1 and bias 0.
    pub(super) fn init(dim: usize, init: &Init) -> Self {
        Self { weight: init.constant([dim], 1.0), bias: init.constant([dim], 0.0) }
    }

    /// Weight and bias.
    pub(super) fn parameters(&self) -> (Tensor<1>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
    }

    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: the same
    pub(super) fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        nn::layer_norm(tokens, self.weight.val(), self.bias.val(), EPS)
    }
}
