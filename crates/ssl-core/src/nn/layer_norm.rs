//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_kernels::ops;

use crate::Init;

/// Added to the variance (timm; PyTorch's default is 1e-5).
pub(super) const EPS: f64 = 1e-6;

/// Normalisation of each token over its own values, with PyTorch's names.
///
/// ```text
/// y = weight · (x − mean) / sqrt(var + 1e-6) + bias,   biased variance
/// ```
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[dim]`
    pub weight: Param<Tensor<1>>,
    /// `[dim]`
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// Creates a norm with weight 1 and bias 0.
    pub fn init(dim: usize, init: &Init) -> Self {
        Self { weight: init.constant([dim], 1.0), bias: init.constant([dim], 0.0) }
    }

    /// The normalised tokens.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, token, dim]`
    /// - returns: the same
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        ops::layer_norm(tokens, self.weight.val(), self.bias.val(), EPS)
    }
}
