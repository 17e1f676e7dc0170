//! The residual blocks.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::{AvgPoolOptions, PadMode};
use ssl_core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Maps};
use ssl_core::{Init, Pass};

use super::BlockKind;
use super::branch_attention::BranchAttention;

/// Configuration of a [`Block`].
pub(super) struct BlockConfig {
    pub(super) kind: BlockKind,
    pub(super) channels_in: usize,
    /// Channels of the 3×3 convolutions.
    pub(super) width: usize,
    /// Stride of the first 3×3 convolution.
    pub(super) stride: usize,
    pub(super) bn_splits: usize,
    /// Whether the last batch norm starts with weight 0.
    pub(super) zero_init: bool,
    /// Whether the 3×3 convolution of a bottleneck has two branches and the shortcut has an average pool.
    pub(super) selective_kernel: bool,
}

impl BlockConfig {
    pub(super) fn init(&self, init: &mut Init) -> Block {
        match self.kind {
            BlockKind::Basic => self.basic(init),
            BlockKind::Bottleneck => self.bottleneck(init),
        }
    }

    fn basic(&self, init: &mut Init) -> Block {
        Block {
            conv1: self.conv3x3(self.channels_in, self.stride, init),
            bn1: self.batch_norm(self.width, false, init),
            conv2: self.conv3x3(self.width, 1, init),
            bn2: self.batch_norm(self.width, true, init),
            attn: None,
            conv3: None,
            bn3: None,
            downsample: self.downsample(init),
            shortcut_pool: None,
        }
    }

    fn bottleneck(&self, init: &mut Init) -> Block {
        let branches = if self.selective_kernel { 2 } else { 1 };
        let conv2 = Conv2dConfig::new(self.width, branches * self.width, 3);
        Block {
            conv1: Conv2dConfig::new(self.channels_in, self.width, 1).init(init),
            bn1: self.batch_norm(self.width, false, init),
            conv2: conv2.with_stride(self.stride).with_padding(1).init(init),
            bn2: self.batch_norm(branches * self.width, false, init),
            attn: self.selective_kernel.then(|| BranchAttention::init(self.width, self.bn_splits, init)),
            conv3: Some(Conv2dConfig::new(self.width, self.channels_out(), 1).init(init)),
            bn3: Some(self.batch_norm(self.channels_out(), true, init)),
            downsample: self.downsample(init),
            shortcut_pool: self.selective_kernel.then_some(self.stride),
        }
    }

    fn conv3x3(&self, channels_in: usize, stride: usize, init: &mut Init) -> Conv2d {
        Conv2dConfig::new(channels_in, self.width, 3).with_stride(stride).with_padding(1).init(init)
    }

    fn batch_norm(&self, channels: usize, last: bool, init: &Init) -> BatchNorm {
        let weight = if last && self.zero_init { 0.0 } else { 1.0 };
        BatchNormConfig::new(channels).with_splits(self.bn_splits).with_initial_weight(weight).init(init)
    }

    /// The projection of the shortcut, if input and output differ in shape.
    fn downsample(&self, init: &mut Init) -> Option<(Conv2d, BatchNorm)> {
        let channels = self.channels_out();
        // With selective kernels, the average pool before the projection has the stride.
        let stride = if self.selective_kernel { 1 } else { self.stride };
        (self.stride != 1 || self.channels_in != channels).then(|| {
            let conv = Conv2dConfig::new(self.channels_in, channels, 1).with_stride(stride).init(init);
            (conv, self.batch_norm(channels, false, init))
        })
    }

    fn channels_out(&self) -> usize {
        self.width * self.kind.expansion()
    }
}

/// A residual block, `relu(shortcut(x) + branch(x))`. A bottleneck has a third convolution; with selective kernels its
/// second convolution has two branches, which `attn` mixes.
#[derive(Module, Debug)]
pub(super) struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    attn: Option<BranchAttention>,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<(Conv2d, BatchNorm)>,
    /// Stride of the average pool before the projection, if there is one.
    #[module(skip)]
    shortcut_pool: Option<usize>,
}

impl Block {
    /// # Shapes
    /// - `input`: `[batch, channel_in, height, width]`
    /// - returns: `[batch, channel_out, height / stride, width / stride]`, rounded up
    pub(super) fn forward(&self, input: Maps, pass: &Pass) -> Maps {
        let shortcut = self.shortcut(input.clone(), pass);
        let branch = self.bn1.forward_relu_conv(&self.conv1, input, None, pass);
        match (&self.conv3, &self.bn3) {
            (Some(conv), Some(norm)) => {
                let branch = self.mixed(self.bn2.forward_relu_conv(&self.conv2, branch, None, pass), pass);
                norm.forward_relu_conv(conv, branch, Some(shortcut), pass)
            }
            _ => self.bn2.forward_relu_conv(&self.conv2, branch, Some(shortcut), pass),
        }
    }

    /// Mixes the branches of a selective kernel into one; without selective kernels there is only one.
    fn mixed(&self, branches: Maps, pass: &Pass) -> Maps {
        match &self.attn {
            Some(attn) => attn.forward(branches.into_planes(), pass).into(),
            None => branches,
        }
    }

    fn shortcut(&self, input: Maps, pass: &Pass) -> Maps {
        let Some((conv, norm)) = &self.downsample else { return input };
        let input = match self.shortcut_pool {
            Some(stride) => average_pool(input.into_planes(), stride).into(),
            None => input,
        };
        norm.forward_conv(conv, input, pass)
    }
}

/// Means of 2×2 positions, applied before the projection of a ResNet-D shortcut.
///
/// With stride 1, positions past the border are ignored. With stride 2, an odd side is padded with zeros, which count.
///
/// # Source
/// He et al. 2018, section 4.2, <https://arxiv.org/abs/1812.01187>; the borders from the official SimCLR v2 code,
/// `tf2/resnet.py`, `BottleneckBlock`.
fn average_pool(x: Tensor<4>, stride: usize) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let padded = match stride {
        // Repeating the edge gives the same mean as ignoring positions past the border.
        1 => x.pad([(0, 1), (0, 1)], PadMode::Edge),
        _ => x.pad([(0, height % 2), (0, width % 2)], PadMode::Constant(0.0)),
    };
    avg_pool2d(padded, AvgPoolOptions::new([2, 2]).with_stride([stride, stride]))
}
