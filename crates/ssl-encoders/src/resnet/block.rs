//! The residual blocks.

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};
use ssl_core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig};
use ssl_core::{Init, Mode};

use super::BlockKind;

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
            conv3: None,
            bn3: None,
            downsample: self.downsample(init),
        }
    }

    fn bottleneck(&self, init: &mut Init) -> Block {
        Block {
            conv1: Conv2dConfig::new(self.channels_in, self.width, 1).init(init),
            bn1: self.batch_norm(self.width, false, init),
            conv2: self.conv3x3(self.width, self.stride, init),
            bn2: self.batch_norm(self.width, false, init),
            conv3: Some(Conv2dConfig::new(self.width, self.channels_out(), 1).init(init)),
            bn3: Some(self.batch_norm(self.channels_out(), true, init)),
            downsample: self.downsample(init),
        }
    }

    fn conv3x3(&self, channels_in: usize, stride: usize, init: &mut Init) -> Conv2d {
        Conv2dConfig::new(channels_in, self.width, 3).with_stride(stride).with_padding(1).init(init)
    }

    fn batch_norm(&self, channels: usize, last: bool, init: &Init) -> BatchNorm {
        let weight = if last && self.zero_init { 0.0 } else { 1.0 };
        BatchNormConfig::new(channels).with_splits(self.bn_splits).with_initial_weight(weight).init(init)
    }

    /// The projection of the shortcut, where input and output differ in shape.
    fn downsample(&self, init: &mut Init) -> Option<(Conv2d, BatchNorm)> {
        let channels = self.channels_out();
        (self.stride != 1 || self.channels_in != channels).then(|| {
            let conv = Conv2dConfig::new(self.channels_in, channels, 1).with_stride(self.stride).init(init);
            (conv, self.batch_norm(channels, false, init))
        })
    }

    fn channels_out(&self) -> usize {
        self.width * self.kind.expansion()
    }
}

/// A residual block, `relu(shortcut(x) + branch(x))`. A bottleneck has a third convolution.
#[derive(Module, Debug)]
pub(super) struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    /// # Shapes
    /// - `input`: `[batch, channel_in, height, width]`
    /// - returns: `[batch, channel_out, height / stride, width / stride]`, rounded up
    pub(super) fn forward(&self, input: Tensor<4>, mode: Mode) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(input.clone()), mode),
            None => input.clone(),
        };
        let branch = relu(self.bn1.forward(self.conv1.forward(input), mode));
        let branch = self.bn2.forward(self.conv2.forward(branch), mode);
        let branch = match (&self.conv3, &self.bn3) {
            (Some(conv), Some(norm)) => norm.forward(conv.forward(relu(branch)), mode),
            _ => branch,
        };
        relu(branch + shortcut)
    }
}
