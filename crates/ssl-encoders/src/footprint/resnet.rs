//! A ResNet, layer by layer.

use super::EncoderFootprint;
use crate::{BlockKind, ResNetConfig, Stem};

/// Channels in a block of our convolutions, and values in a vector of their workspace.
const LANES: f64 = 16.0;
/// Workspace of any convolution, in values: images padded for the gradient of the weights, see `CHUNK` in `ssl-kernels`.
const CHUNK: f64 = (1 << 21) as f64;
/// Points of a Winograd tile.
const POINTS: f64 = 16.0;
/// Tiles in a group of images, about, and groups transformed at once, at least.
const TILES: f64 = 64.0;
const GROUPS: f64 = 4.0;

/// What is known of a network while it is walked through.
struct Walk {
    /// Height and width.
    size: usize,
    channels: usize,
    splits: bool,
    found: EncoderFootprint,
}

/// What follows a convolution.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Norm,
    /// ReLU, which the next layer computes again in the backward pass.
    NormRelu,
    /// ReLU of a sum, or one that other layers than convolutions and pools read.
    KeptRelu,
}

pub(super) fn footprint(config: &ResNetConfig, view_size: usize) -> EncoderFootprint {
    let found = EncoderFootprint {
        feature_dim: config.feature_dim(),
        parameters: 0.0,
        kept: 3.0 * (view_size as f64).powi(2),
        gradients: 0.0,
        plain: 0.0,
        workspace: 0.0,
    };
    let mut walk = Walk { size: view_size, channels: 3, splits: config.bn_splits > 1, found };
    walk.stem(config);
    for (stage, &blocks) in config.layers.iter().enumerate() {
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            walk.block(config, config.width << stage, stride);
        }
    }
    walk.found
}

impl Walk {
    fn stem(&mut self, config: &ResNetConfig) {
        let imagenet = config.stem == Stem::ImageNet;
        if imagenet && config.selective_kernel {
            let half = (config.width / 2).max(1);
            self.conv(half, 3, 2, Then::NormRelu);
            self.conv(half, 3, 1, Then::NormRelu);
            self.conv(config.width, 3, 1, Then::NormRelu);
        } else if imagenet {
            self.conv(config.width, 7, 2, Then::NormRelu);
        } else {
            self.conv(config.width, 3, 1, Then::NormRelu);
        }
        self.widest(2.0);
        if imagenet {
            self.size = self.size.div_ceil(2);
            self.found.kept += self.values(self.channels);
        }
    }

    fn block(&mut self, config: &ResNetConfig, width: usize, stride: usize) {
        let (size, channels) = (self.size, self.channels);
        let out = width * config.block.expansion();
        match config.block {
            BlockKind::Basic => self.conv(width, 3, stride, Then::NormRelu),
            BlockKind::Bottleneck => {
                self.conv(width, 1, 1, Then::NormRelu);
                let branches = if config.selective_kernel { 2 } else { 1 };
                let then = if config.selective_kernel { Then::KeptRelu } else { Then::NormRelu };
                self.conv(branches * width, 3, stride, then);
                self.mix(config, width);
                if stride != 1 || channels != out {
                    self.widest(2.0);
                }
            }
        }
        let kernel = if config.block == BlockKind::Basic { 3 } else { 1 };
        self.conv(out, kernel, 1, Then::KeptRelu);
        if stride != 1 || channels != out {
            let after = (self.size, self.channels);
            (self.size, self.channels) = (size, channels);
            self.conv(out, 1, stride, Then::Norm);
            (self.size, self.channels) = after;
        }
        // Later blocks of a stage have the same shapes.
        if stride != 1 || channels != out {
            self.widest(2.0);
        }
    }

    /// Attention between the branches of a selective kernel.
    fn mix(&mut self, config: &ResNetConfig, width: usize) {
        if !config.selective_kernel {
            return;
        }
        self.channels = width;
        let hidden = (width / 16).max(32) as f64;
        self.found.parameters += 3.0 * width as f64 * hidden + 4.0 * hidden;
        self.found.kept += 4.0 * self.values(width);
    }

    /// A convolution with its batch norm.
    fn conv(&mut self, channels: usize, kernel: usize, stride: usize, then: Then) {
        let taps = (kernel * kernel) as f64;
        self.workspace(channels, kernel, stride);
        self.found.parameters += (self.channels as f64 * taps + 4.0) * channels as f64;
        self.size = self.size.div_ceil(stride);
        self.channels = channels;
        // The norm keeps the output of the convolution; ReLU may keep its own. Splits of planes copy what they regroup.
        let kept = if then == Then::KeptRelu { 2.0 } else { 1.0 };
        self.found.kept += kept * self.values(channels);
        let plain = if self.splits { 5.0 } else { 4.0 } * self.values(channels);
        self.found.plain = self.found.plain.max(plain);
    }

    /// Gradients of `tensors` activations of the present shape.
    fn widest(&mut self, tensors: f64) {
        self.found.gradients = self.found.gradients.max(tensors * self.values(self.channels));
    }

    fn workspace(&mut self, channels: usize, kernel: usize, stride: usize) {
        let blocks = |channels: usize| (channels as f64 / LANES).ceil();
        let (ins, outs) = (blocks(self.channels), blocks(channels));
        let sums = ins * outs * LANES * LANES;
        let winograd = kernel == 3 && stride == 1 && self.channels >= 16 && channels >= 16;
        let found = if winograd {
            let tiles = GROUPS * POINTS * (ins + outs) * TILES * LANES;
            tiles.max(CHUNK) + 2.0 * POINTS * sums
        } else {
            CHUNK + (kernel * kernel) as f64 * sums
        };
        self.found.workspace = self.found.workspace.max(found);
    }

    /// Values of an activation, in whole blocks.
    fn values(&self, channels: usize) -> f64 {
        (channels as f64 / LANES).ceil() * LANES * (self.size as f64).powi(2)
    }
}
