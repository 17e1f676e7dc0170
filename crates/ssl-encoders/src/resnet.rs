//! ResNet with torchvision's parameter names.

mod block;
mod branch_attention;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Maps};
use ssl_core::{Encoder, Init, Mode, Pass, names};

use block::{Block, BlockConfig};

/// Maximum number of stages, as in torchvision.
const MAX_STAGES: usize = 4;

/// The residual block of a [`ResNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last with four times the channels. The stride is on the 3×3 convolution as in
    /// torchvision ("ResNet v1.5"); in the paper it is on the first 1×1.
    Bottleneck,
}

names!(BlockKind: "block" { Basic = "basic", Bottleneck = "bottleneck" });

impl BlockKind {
    /// Output channels of a block divided by its width.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// The first layers of a [`ResNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Stem {
    /// 7×7 convolution with stride 2, then a 3×3 max-pool with stride 2: leaves a quarter of the height and width.
    ImageNet,
    /// 3×3 convolution with stride 1 and no pooling, for small images (SimCLR, appendix B.9).
    Cifar,
}

names!(Stem: "stem" { ImageNet = "imagenet", Cifar = "cifar" });

/// Configuration of a [`ResNet`].
///
/// ```
/// # use ssl_core::{DeviceSpec, Encoder, Init};
/// # use ssl_encoders::{ResNetConfig, Stem};
/// let device = DeviceSpec::Flex.open().unwrap();
/// let encoder = ResNetConfig::resnet18().with_width(8).with_stem(Stem::Cifar).init(&mut Init::new(0, &device));
/// assert_eq!(encoder.feature_dim(), 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// The residual block.
    pub block: BlockKind,
    /// Number of blocks per stage, for one to four stages.
    pub layers: Vec<usize>,
    /// Channels of the stem and width of the first stage; every stage doubles it. Default 64 (torchvision; 128 in the
    /// "2×" networks of SimCLR and BYOL).
    pub width: usize,
    /// The first layers. Default [`Stem::ImageNet`] (torchvision).
    pub stem: Stem,
    /// Number of groups that each batch norm normalises separately. Default 1 (torchvision); 8 in MoCo's CIFAR-10
    /// notebook.
    pub bn_splits: usize,
    /// Whether the last batch norm of every block starts with weight 0, so that blocks start as the identity. Default
    /// `false` (torchvision); `true` in the official code of SimSiam and Barlow Twins.
    pub zero_init_residual: bool,
    /// Whether bottlenecks choose between two 3×3 convolutions, per channel and image. Default `false` (torchvision);
    /// `true` in the larger networks of SimCLR v2 (section 3.1). As in the official code, this also enables the stem
    /// and shortcuts of ResNet-D: three 3×3 convolutions instead of the 7×7, and an average pool before the
    /// projections.
    pub selective_kernel: bool,
}

impl ResNetConfig {
    /// Creates a network with `layers[s]` blocks in stage `s`, otherwise as in torchvision.
    pub fn new(block: BlockKind, layers: impl Into<Vec<usize>>) -> Self {
        Self {
            block,
            layers: layers.into(),
            width: 64,
            stem: Stem::ImageNet,
            bn_splits: 1,
            zero_init_residual: false,
            selective_kernel: false,
        }
    }

    /// ResNet-18 (He et al. 2015, table 1, like all depths below).
    pub fn resnet18() -> Self {
        Self::new(BlockKind::Basic, [2, 2, 2, 2])
    }

    /// ResNet-34.
    pub fn resnet34() -> Self {
        Self::new(BlockKind::Basic, [3, 4, 6, 3])
    }

    /// ResNet-50.
    pub fn resnet50() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 4, 6, 3])
    }

    /// ResNet-101.
    pub fn resnet101() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 4, 23, 3])
    }

    /// ResNet-152.
    pub fn resnet152() -> Self {
        Self::new(BlockKind::Bottleneck, [3, 8, 36, 3])
    }

    /// Sets the channels of the stem and the width of the first stage.
    pub fn with_width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Sets the first layers.
    pub fn with_stem(mut self, stem: Stem) -> Self {
        self.stem = stem;
        self
    }

    /// Sets the number of groups that batch norm normalises separately.
    pub fn with_bn_splits(mut self, bn_splits: usize) -> Self {
        self.bn_splits = bn_splits;
        self
    }

    /// Sets whether blocks start as the identity.
    pub fn with_zero_init_residual(mut self, zero_init_residual: bool) -> Self {
        self.zero_init_residual = zero_init_residual;
        self
    }

    /// Sets whether bottlenecks choose between two convolutions.
    pub fn with_selective_kernel(mut self, selective_kernel: bool) -> Self {
        self.selective_kernel = selective_kernel;
        self
    }

    /// Length of a feature vector.
    pub fn feature_dim(&self) -> usize {
        self.channels_after(self.layers.len())
    }

    /// Creates a network with He-normal convolutions, and batch norms with weight 1 and bias 0.
    ///
    /// # Panics
    /// If there are no stages or more than four, if a stage has no blocks, or if basic blocks are to have selective
    /// kernels.
    ///
    /// # Source
    /// torchvision `resnet.py`; with selective kernels the official SimCLR v2 code, `tf2/resnet.py`.
    pub fn init(&self, init: &mut Init) -> ResNet {
        self.assert_usable();
        let deep_stem = self.deep_stem(init);
        let conv1 = match (self.stem, deep_stem.last()) {
            (Stem::ImageNet, None) => Conv2dConfig::new(3, self.width, 7).with_stride(2).with_padding(3),
            (Stem::ImageNet, Some(_)) => Conv2dConfig::new(self.half_width(), self.width, 3).with_padding(1),
            (Stem::Cifar, _) => Conv2dConfig::new(3, self.width, 3).with_padding(1),
        };
        let conv1 = conv1.init(init);
        let bn1 = BatchNormConfig::new(self.width).with_splits(self.bn_splits).init(init);
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|stage| self.stage(stage, init));
        let (max_pool, feature_dim) = (self.stem == Stem::ImageNet, self.feature_dim());
        ResNet { deep_stem, conv1, bn1, layer1, layer2, layer3, layer4, max_pool, feature_dim }
    }

    fn assert_usable(&self) {
        let stages = self.layers.len();
        assert!((1..=MAX_STAGES).contains(&stages), "a ResNet has 1 to {MAX_STAGES} stages, got {stages}");
        let no_stage_is_empty = !self.layers.contains(&0);
        assert!(no_stage_is_empty, "a stage of a ResNet has at least one block, got {:?}", self.layers);
        let has_kernels = !self.selective_kernel || self.block == BlockKind::Bottleneck;
        assert!(has_kernels, "only bottlenecks have selective kernels, got basic blocks");
    }

    /// The convolutions before the last one of a ResNet-D stem; empty for other stems.
    fn deep_stem(&self, init: &mut Init) -> Vec<(Conv2d, BatchNorm)> {
        if !self.selective_kernel || self.stem == Stem::Cifar {
            return Vec::new();
        }
        let width = self.half_width();
        let convs = [Conv2dConfig::new(3, width, 3).with_stride(2), Conv2dConfig::new(width, width, 3)];
        let layer = |conv: Conv2dConfig| {
            let norm = BatchNormConfig::new(width).with_splits(self.bn_splits).init(init);
            (conv.with_padding(1).init(init), norm)
        };
        convs.map(layer).into()
    }

    /// Channels of the convolutions in [`deep_stem`](Self::deep_stem).
    fn half_width(&self) -> usize {
        (self.width / 2).max(1)
    }

    /// The blocks of a stage; empty for a stage that the network does not have.
    fn stage(&self, stage: usize, init: &mut Init) -> Vec<Block> {
        let blocks = self.layers.get(stage).copied().unwrap_or(0);
        let block = |index: usize| {
            let first = index == 0;
            BlockConfig {
                kind: self.block,
                channels_in: self.channels_after(if first { stage } else { stage + 1 }),
                width: self.width << stage,
                stride: if first && stage > 0 { 2 } else { 1 },
                bn_splits: self.bn_splits,
                zero_init: self.zero_init_residual,
                selective_kernel: self.selective_kernel,
            }
        };
        (0..blocks).map(|index| block(index).init(init)).collect()
    }

    /// Number of channels after the stem and `stages` stages.
    fn channels_after(&self, stages: usize) -> usize {
        match stages {
            0 => self.width,
            stages => (self.width << (stages - 1)) * self.block.expansion(),
        }
    }
}

/// A residual network whose feature is the global average of the last stage's output.
///
/// Its tensors have torchvision's paths (`conv1.weight`, `layer1.0.bn1.running_mean`, `layer2.0.downsample.0.weight`);
/// there is no `fc`. Selective kernels add `deep_stem.{0,1}.{0,1}` before `conv1` and
/// `layer1.0.attn.{fc_reduce,bn,fc_select}`, and double the channels of `layer1.0.{conv2,bn2}`; neither torchvision nor
/// timm has this network.
///
/// # Source
/// He et al. 2015, <https://arxiv.org/abs/1512.03385>; torchvision `resnet.py`. Selective kernels: Chen et al. 2020,
/// section 3.1, <https://arxiv.org/abs/2006.10029>; official `tf2/resnet.py`, except that the max-pool is
/// torchvision's: it pads both sides, TensorFlow's only one.
#[derive(Module, Debug)]
pub struct ResNet {
    deep_stem: Vec<(Conv2d, BatchNorm)>,
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    max_pool: bool,
    feature_dim: usize,
}

impl Encoder for ResNet {
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, feature_dim]`
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.last_stage(images, pass).mean()
    }

    fn feature_dim(&self) -> usize {
        self.feature_dim
    }

    /// The output of the last stage.
    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        Some(self.last_stage(images, pass).into_planes())
    }
}

/// Values of the first feature maps of images that pass the first two stages together in evaluation: 32 MB (our choice).
const SLICE: usize = 1 << 23;

impl ResNet {
    /// How many images pass the first two stages at a time. In evaluation, images do not depend on each other, so a CPU takes a few at
    /// a time there, which needs less memory. The later stages, whose maps are small, read their weights once for all images.
    fn slice(&self, images: &Tensor<4>, pass: &Pass) -> usize {
        let [batch, _, height, width] = images.dims();
        if pass.mode != Mode::Eval || images.device().is_autodiff() || !Maps::packs(images) {
            return batch;
        }
        let stride = if self.max_pool { 2 } else { 1 };
        let map = self.conv1.channels_out() * height.div_ceil(stride) * width.div_ceil(stride);
        (SLICE / map.max(1)).max(1)
    }

    /// `[batch, feature_dim, row, column]`
    fn last_stage(&self, images: Tensor<4>, pass: &Pass) -> Maps {
        let slice = self.slice(&images, pass);
        let maps = if slice < images.dims()[0] {
            let slices = images.split(slice, 0).into_iter();
            Maps::cat(slices.map(|images| self.second_stage(images, pass)).collect())
        } else {
            self.second_stage(images, pass)
        };
        self.layer3.iter().chain(&self.layer4).fold(maps, |x, block| block.forward(x, pass))
    }

    /// The output of the second stage, or of the last one before it.
    fn second_stage(&self, images: Tensor<4>, pass: &Pass) -> Maps {
        let stem = self.stem(images.into(), pass);
        self.layer1.iter().chain(&self.layer2).fold(stem, |x, block| block.forward(x, pass))
    }

    fn stem(&self, images: Maps, pass: &Pass) -> Maps {
        let layer = |x, conv: &Conv2d, norm: &BatchNorm| norm.forward_relu_conv(conv, x, None, pass);
        let x = self.deep_stem.iter().fold(images, |x, (conv, norm)| layer(x, conv, norm));
        let x = layer(x, &self.conv1, &self.bn1);
        if self.max_pool { x.max_pool2d(3, 2, 1) } else { x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    fn features(config: &ResNetConfig, images: Tensor<4>) -> Tensor<2> {
        config.init(&mut Init::new(0, &images.device())).encode(images, &Pass::train())
    }

    fn images(size: usize) -> Tensor<4> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let count = 2 * 3 * size * size;
        Tensor::<1, burn::tensor::Int>::arange(0..count as i64, &device)
            .float()
            .sin()
            .reshape([2, 3, size, size])
    }

    #[test]
    fn the_feature_is_as_long_as_the_configuration_says() {
        for (block, layers) in
            [(BlockKind::Basic, vec![1]), (BlockKind::Bottleneck, vec![1, 1]), (BlockKind::Basic, vec![1; 4])]
        {
            let config = ResNetConfig::new(block, layers).with_width(4);
            assert_eq!(features(&config, images(32)).dims(), [2, config.feature_dim()], "{config:?}");
        }
    }

    #[test]
    fn images_that_pass_in_slices_have_the_features_of_each_alone() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let config = ResNetConfig::new(BlockKind::Basic, [1, 1, 1]).with_stem(Stem::Cifar);
        let encoder = config.init(&mut Init::new(0, &device));
        let images = Tensor::cat((0..10).map(|shift| images(128) + f64::from(shift) * 0.1).collect(), 0);
        let pass = Pass::eval();
        let slice = encoder.slice(&images, &pass);
        assert!(1 < slice && slice < 20 && !20_usize.is_multiple_of(slice), "{slice} of 20 images");
        let alone = images.clone().split(1, 0).into_iter().map(|image| encoder.encode(image, &pass));
        let alone = Tensor::cat(alone.collect(), 0);
        assert_eq!(encoder.encode(images.clone(), &pass).into_data(), alone.into_data());
        assert_eq!(encoder.slice(&images, &Pass::train()), 20, "batch statistics are those of all images");
    }

    #[test]
    fn both_stems_take_images_of_any_size() {
        for stem in [Stem::Cifar, Stem::ImageNet] {
            let config = ResNetConfig::new(BlockKind::Basic, [1, 1]).with_width(4).with_stem(stem);
            for size in [17, 24] {
                assert_eq!(features(&config, images(size)).dims(), [2, 8], "{stem:?} {size}");
            }
        }
    }

    #[test]
    fn a_block_that_starts_as_the_identity_passes_its_input_on() {
        let config = ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_zero_init_residual(true);
        let network = config.init(&mut Init::new(0, &images(16).device()));
        let stem = network.stem(images(16).into(), &Pass::train());
        let block = network.layer1[0].forward(stem.clone(), &Pass::train());
        assert_eq!(block.into_planes().into_data(), stem.into_planes().into_data());
    }

    #[test]
    #[should_panic(expected = "only bottlenecks have selective kernels")]
    fn selective_kernels_of_basic_blocks_are_refused() {
        features(&ResNetConfig::new(BlockKind::Basic, [1]).with_selective_kernel(true), images(8));
    }

    #[test]
    #[should_panic(expected = "1 to 4 stages, got 5")]
    fn five_stages_are_refused() {
        features(&ResNetConfig::new(BlockKind::Basic, [1; 5]), images(8));
    }
}
