//! The blocks.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_core::nn::{DropPath, FeedForward, LayerNorm, depthwise_conv2d};
use ssl_core::{Pass, Precision};

use super::Map;

/// A ConvNeXt block.
///
/// ```text
/// y = x + drop(gamma · mlp(norm(conv_dw(x))))
/// ```
#[derive(Module, Debug)]
pub(super) struct Block {
    /// `[dim]`
    pub(super) gamma: Param<Tensor<1>>,
    pub(super) conv_dw: DepthwiseConv2d,
    pub(super) norm: LayerNorm,
    pub(super) mlp: FeedForward,
    #[module(skip)]
    pub(super) drop_path: DropPath,
}

impl Block {
    pub(super) fn forward(&self, map: Map, pass: &Pass) -> Map {
        let (branch, factors) = (self.conv_dw.forward(&map), self.gamma.val());
        if !self.drop_path.drops(pass) {
            let values = self.mlp.scaled_onto(map.values, branch, &self.norm, factors);
            return Map { values, grid: map.grid };
        }
        let branch = self.mlp.forward(self.norm.forward(branch)) * factors.unsqueeze();
        Map { values: map.values + self.drop_path.forward(branch, "drop_path", pass), grid: map.grid }
    }
}

/// A depthwise convolution that keeps the size of a map, with PyTorch's layout of the weight.
#[derive(Module, Debug)]
pub(super) struct DepthwiseConv2d {
    /// `[channel, 1, kernel, kernel]`
    pub(super) weight: Param<Tensor<4>>,
    /// `[channel]`
    pub(super) bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(super) precision: Precision,
}

impl DepthwiseConv2d {
    /// `[batch, position, channel]`
    fn forward(&self, map: &Map) -> Tensor<3> {
        let [batch, positions, channels] = map.values.dims();
        let [rows, columns] = map.grid;
        let images = self.precision.rounded(map.values.clone().reshape([batch, rows, columns, channels]));
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let output = depthwise_conv2d(images, self.precision.rounded(weight), self.precision.rounded(bias));
        self.precision.restored(output).reshape([batch, positions, channels])
    }
}
