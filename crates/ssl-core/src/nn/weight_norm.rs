//! A linear layer whose rows are a direction and a length.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use ssl_kernels::ops::rows_of_length;

use crate::Init;
use crate::math::NORMALIZE_EPS;

/// A linear layer without bias whose rows have a trained direction and a length that is fixed unless told otherwise.
///
/// ```text
/// row k of the weight = g_k · v_k / ‖v_k‖,    g = 1 at the start
/// ```
///
/// # Source
/// Salimans & Kingma 2016, eq. 2, <https://arxiv.org/abs/1602.07868>; the names are those of `torch.nn.utils.weight_norm`, and
/// the fixed length is from the official `DINOHead`.
#[derive(Module, Debug)]
pub struct WeightNormLinear {
    /// `v`, `[output, dim]`
    pub weight_v: Param<Tensor<2>>,
    /// `g`, `[output, 1]`: without gradient, and so always 1, unless lengths are trained.
    pub weight_g: Param<Tensor<2>>,
}

impl WeightNormLinear {
    /// Creates a layer with directions uniform within `±1 / sqrt(inputs)` in every coordinate, like `torch.nn.Linear`.
    pub fn init(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let weight_v = init.uniform([outputs, inputs], 1.0 / (inputs as f64).sqrt());
        let ones = Tensor::ones([outputs, 1], init.device());
        Self { weight_v, weight_g: Param::initialized(ParamId::new(), ones) }
    }

    /// The same layer with lengths that are trained.
    pub fn with_trained_lengths(mut self) -> Self {
        self.weight_g = self.weight_g.map(|lengths| lengths.set_require_grad(true));
        self
    }

    /// The weight, `[output, dim]`.
    pub fn weight(&self) -> Tensor<2> {
        rows_of_length(self.weight_v.val(), Some(self.weight_g.val()), NORMALIZE_EPS)
    }
}
