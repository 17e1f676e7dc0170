//! Linear layers.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_kernels::ops;

use crate::{Init, Precision};

/// Configuration of a [`Linear`].
#[derive(Clone, Debug)]
pub struct LinearConfig {
    /// Length of an input row.
    pub inputs: usize,
    /// Length of an output row.
    pub outputs: usize,
    /// Whether a bias is added, `true` by default.
    pub bias: bool,
}

impl LinearConfig {
    /// Creates a linear layer with a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true }
    }

    /// Sets whether a bias is added.
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Creates a layer with weights and bias uniform within `±1 / sqrt(inputs)`.
    ///
    /// # Source
    /// `torch.nn.Linear.reset_parameters`, which the official code of the methods relies on.
    pub fn init(&self, init: &mut Init) -> Linear {
        let bound = 1.0 / (self.inputs as f64).sqrt();
        Linear {
            weight: init.uniform([self.outputs, self.inputs], bound),
            bias: self.bias.then(|| init.uniform([self.outputs], bound)),
            precision: init.precision(),
        }
    }

    /// Creates a layer with weights uniform within `±sqrt(6 / (inputs + outputs))` and a bias of 0.
    ///
    /// # Source
    /// Glorot & Bengio 2010, eq. 16; `torch.nn.init.xavier_uniform_`.
    pub fn init_xavier(&self, init: &mut Init) -> Linear {
        let weight = init.uniform([self.outputs, self.inputs], xavier(self.inputs, self.outputs));
        self.with_zero_bias(weight, init)
    }

    /// Creates a layer with truncated normal weights of the given standard deviation and a bias of 0, as in the official
    /// code of most vision transformers.
    pub fn init_truncated_normal(&self, std: f64, init: &mut Init) -> Linear {
        let weight = init.truncated_normal([self.outputs, self.inputs], std);
        self.with_zero_bias(weight, init)
    }

    /// A layer with these weights and a bias of 0.
    fn with_zero_bias(&self, weight: Param<Tensor<2>>, init: &Init) -> Linear {
        let bias = self.bias.then(|| init.constant([self.outputs], 0.0));
        Linear { weight, bias, precision: init.precision() }
    }
}

/// Bound of a uniform distribution that preserves the variance of both a layer's values and its gradients.
///
/// # Source
/// Glorot & Bengio 2010, eq. 16.
pub fn xavier(inputs: usize, outputs: usize) -> f64 {
    (6.0 / (inputs + outputs) as f64).sqrt()
}

/// A linear layer with PyTorch's layout, `weight`: `[output, input]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[output, input]`
    pub weight: Param<Tensor<2>>,
    /// `[output]`
    pub bias: Option<Param<Tensor<1>>>,
    /// The precision that the product is computed in.
    #[module(skip)]
    pub precision: Precision,
}

impl Linear {
    /// `x · weightᵀ + bias` on the last axis.
    ///
    /// # Shapes
    /// - `input`: `[..., input]`
    /// - returns: `[..., output]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_scaled(input, None)
    }

    /// [`forward`](Self::forward) with every output multiplied by its factor, if there are some. The factors multiply the weights,
    /// which are fewer than the outputs of a batch.
    ///
    /// # Shapes
    /// - `factors`: `[output]`
    pub fn forward_scaled<const D: usize>(&self, input: Tensor<D>, factors: Option<Tensor<1>>) -> Tensor<D> {
        let (weight, bias) = self.scaled(factors);
        self.product(input, weight, bias, ops::linear)
    }

    /// [`forward_scaled`](Self::forward_scaled) added to a shortcut.
    ///
    /// # Shapes
    /// - `shortcut`: as the output
    pub fn forward_onto<const D: usize>(
        &self,
        shortcut: Tensor<D>,
        input: Tensor<D>,
        factors: Option<Tensor<1>>,
    ) -> Tensor<D> {
        if self.precision != Precision::F32 {
            return shortcut + self.forward_scaled(input, factors);
        }
        let (weight, bias) = self.scaled(factors);
        ops::linear_onto(shortcut, input, weight, bias)
    }

    /// Weight and bias, multiplied by the factors of the outputs, if there are some.
    pub(super) fn scaled(&self, factors: Option<Tensor<1>>) -> (Tensor<2>, Option<Tensor<1>>) {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        match factors {
            Some(factors) => (weight * factors.clone().unsqueeze_dim(1), bias.map(|bias| bias * factors)),
            None => (weight, bias),
        }
    }

    /// The outputs of `range` alone, as [`forward`](Self::forward) computes them.
    pub fn forward_to<const D: usize>(&self, range: Range<usize>, input: Tensor<D>) -> Tensor<D> {
        let weight = self.weight.val().slice_dim(0, range.clone());
        let bias = self.bias.as_ref().map(|bias| bias.val().slice_dim(0, range));
        self.product(input, weight, bias, ops::linear)
    }

    /// `gelu(x · weightᵀ + bias)` on the last axis, with the exact GELU `x · Φ(x)`.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    pub fn forward_gelu<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = self.scaled(None);
        self.product(input, weight, bias, ops::linear_gelu)
    }

    fn product<const D: usize>(
        &self,
        input: Tensor<D>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        of: fn(Tensor<D>, Tensor<2>, Option<Tensor<1>>) -> Tensor<D>,
    ) -> Tensor<D> {
        let (input, weight) = (self.precision.rounded(input), self.precision.rounded(weight));
        let bias = bias.map(|bias| self.precision.rounded(bias));
        self.precision.restored(of(input, weight, bias))
    }
}
