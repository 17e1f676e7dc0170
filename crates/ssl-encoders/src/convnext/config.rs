//! Configuration of a ConvNeXt.

use burn::module::Param;
use burn::tensor::Tensor;
use ssl_core::Init;
use ssl_core::nn::{DropPath, FeedForward, LayerNorm, LinearConfig};

use super::block::{Block, DepthwiseConv2d};
use super::patches::PatchConv2d;
use super::{ConvNext, Head, Stage};

/// Standard deviation of the initial weights (official `convnext.py`, `_init_weights`).
const STD: f64 = 0.02;
/// Hidden units of a block's MLP divided by its width (Liu et al., section 2.4).
const MLP_RATIO: usize = 4;
/// Height and width of a depthwise kernel (Liu et al., section 2.5).
const KERNEL: usize = 7;

/// Configuration of a [`ConvNext`].
///
/// ```
/// # use ssl_core::{DeviceSpec, Encoder, Init};
/// # use ssl_encoders::ConvNextConfig;
/// let device = DeviceSpec::Flex.open().unwrap();
/// let config = ConvNextConfig::new([1, 1, 2, 1], [16, 32, 64, 128]).with_patch_size(2);
/// assert_eq!(config.init(&mut Init::new(0, &device)).feature_dim(), 128);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConvNextConfig {
    /// Number of blocks of each stage.
    pub depths: [usize; 4],
    /// Channels of each stage; the last are the length of a feature.
    pub dims: [usize; 4],
    /// Height and width of the stem's patches, in pixels. Default 4 (official `convnext.py`). For images of up to 64 pixels,
    /// [`EncoderConfig`](crate::EncoderConfig) takes 2 (our choice): the stages then have 16, 8, 4 and 2 positions a side of an image of 32
    /// pixels, where patches of 4 would leave the last stage one.
    pub patch_size: usize,
    /// Initial value of the learned factors that scale each channel of a block's branch. Default 1e-6 (Liu et al., table 5).
    pub layer_scale: f64,
    /// Probability that the last block drops its branch for an image during training; the rate rises linearly from 0 in the
    /// first block of the network. Default 0 (timm; the official code trains with 0.1 for tiny, 0.4 for small and 0.5 for base,
    /// with labels).
    pub drop_path: f64,
}

impl ConvNextConfig {
    /// Creates a network of these depths and widths, with patches of 4 pixels.
    pub fn new(depths: [usize; 4], dims: [usize; 4]) -> Self {
        Self { depths, dims, patch_size: 4, layer_scale: 1e-6, drop_path: 0.0 }
    }

    /// ConvNeXt-T (official `convnext.py`, like the two below).
    pub fn tiny() -> Self {
        Self::new([3, 3, 9, 3], [96, 192, 384, 768])
    }

    /// ConvNeXt-S.
    pub fn small() -> Self {
        Self::new([3, 3, 27, 3], [96, 192, 384, 768])
    }

    /// ConvNeXt-B.
    pub fn base() -> Self {
        Self::new([3, 3, 27, 3], [128, 256, 512, 1024])
    }

    /// Sets the height and width of the stem's patches.
    pub fn with_patch_size(mut self, patch_size: usize) -> Self {
        self.patch_size = patch_size;
        self
    }

    /// Sets the initial value of the factors that scale the branches.
    pub fn with_layer_scale(mut self, layer_scale: f64) -> Self {
        self.layer_scale = layer_scale;
        self
    }

    /// Sets the probability that the last block drops its branch.
    pub fn with_drop_path(mut self, drop_path: f64) -> Self {
        self.drop_path = drop_path;
        self
    }

    /// Creates a network with truncated normal weights of standard deviation 0.02, and biases of 0.
    ///
    /// # Panics
    /// If a stage has no blocks or no channels, the patch size is 0, or the drop-path rate is not in `[0, 1)`.
    ///
    /// # Source
    /// Official `convnext.py`, `_init_weights`.
    pub fn init(&self, init: &mut Init) -> ConvNext {
        self.assert_usable();
        let [dim, .., last] = self.dims;
        ConvNext {
            stem: (patch_conv(3, dim, self.patch_size, init), LayerNorm::init(dim, init)),
            stages: (0..4).map(|stage| self.stage(stage, init)).collect(),
            head: Head { norm: LayerNorm::init(last, init) },
        }
    }

    fn assert_usable(&self) {
        let Self { depths, dims, patch_size, drop_path, .. } = self;
        assert!(!depths.contains(&0), "a stage of a ConvNeXt has at least one block, got {depths:?}");
        assert!(!dims.contains(&0), "a stage of a ConvNeXt has at least one channel, got {dims:?}");
        assert!(*patch_size > 0, "patches have at least one pixel, got 0");
        let is_rate = (0.0..1.0).contains(drop_path);
        assert!(is_rate, "a drop-path rate is 0 or more and below 1, got {drop_path}");
    }

    fn stage(&self, stage: usize, init: &mut Init) -> Stage {
        let before: usize = self.depths[..stage].iter().sum();
        let downsample = stage.checked_sub(1).map(|previous| {
            let dim = self.dims[previous];
            (LayerNorm::init(dim, init), patch_conv(dim, self.dims[stage], 2, init))
        });
        let blocks = before..before + self.depths[stage];
        Stage { downsample, blocks: blocks.map(|index| self.block(self.dims[stage], index, init)).collect() }
    }

    /// The block with this index among those of all stages.
    fn block(&self, dim: usize, index: usize, init: &mut Init) -> Block {
        let hidden = MLP_RATIO * dim;
        Block {
            gamma: init.constant([dim], self.layer_scale),
            conv_dw: DepthwiseConv2d {
                weight: init.truncated_normal([dim, 1, KERNEL, KERNEL], STD),
                bias: init.constant([dim], 0.0),
                precision: init.precision(),
            },
            norm: LayerNorm::init(dim, init),
            mlp: FeedForward {
                fc1: LinearConfig::new(dim, hidden).init_truncated_normal(STD, init),
                fc2: LinearConfig::new(hidden, dim).init_truncated_normal(STD, init),
            },
            drop_path: DropPath { block: index, rate: self.drop_path_of(index) },
        }
    }

    /// `linspace(0, drop_path, blocks)[index]`, as in the official code and timm.
    fn drop_path_of(&self, index: usize) -> f64 {
        let last = self.depths.iter().sum::<usize>() - 1;
        self.drop_path * index as f64 / last as f64
    }
}

fn patch_conv(from: usize, to: usize, patch: usize, init: &mut Init) -> PatchConv2d {
    let weight: Param<Tensor<4>> = init.truncated_normal([to, from, patch, patch], STD);
    PatchConv2d { weight, bias: init.constant([to], 0.0), precision: init.precision() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, named};

    #[test]
    fn the_drop_path_rate_rises_linearly_over_the_blocks_of_all_stages() {
        let config = ConvNextConfig::new([1, 1, 2, 1], [4; 4]).with_drop_path(0.4);
        let rates: Vec<f64> = (0..5).map(|index| config.drop_path_of(index)).collect();
        for (rate, expected) in rates.iter().zip([0.0, 0.1, 0.2, 0.3, 0.4]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn initial_values_are_those_of_the_official_code() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let network = ConvNextConfig::new([1; 4], [16, 32, 64, 64]).init(&mut Init::new(0, &device));
        for (path, tensor) in named::collect(&network) {
            let values: Vec<f64> = tensor.iter().collect();
            let mean_square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
            let expected = match path.rsplit('.').next() {
                Some("gamma") => 1e-6,
                Some("bias") => 0.0,
                // Of a norm.
                _ if tensor.rank() == 1 => 1.0,
                // The standard deviation of a normal distribution cut off at two of its own is 0.88 of its own.
                _ => 0.88 * STD,
            };
            let found = mean_square.sqrt();
            assert!((found - expected).abs() <= 0.05 * expected, "{path}: {found}");
        }
    }

    #[test]
    #[should_panic(expected = "at least one block, got [1, 0, 1, 1]")]
    fn a_stage_without_blocks_is_refused() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        ConvNextConfig::new([1, 0, 1, 1], [4; 4]).init(&mut Init::new(0, &device));
    }
}
