//! ConvNeXt with timm's parameter names.

mod block;
mod config;
mod patches;

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::LayerNorm;
use ssl_core::{Encoder, Pass};

use block::Block;
pub use config::ConvNextConfig;
use patches::PatchConv2d;

/// A ConvNeXt. Its feature is the normalised mean of the last stage's output.
///
/// Its tensors have timm's paths (`stem.0.weight`, `stages.1.downsample.1.weight`, `stages.0.blocks.0.conv_dw.weight`,
/// `head.norm.weight`); there is no `head.fc`.
///
/// Between the stem and the head, features are channels-last: `[batch, position, channel]`, positions row by row. Pixels and
/// positions that patches do not fill, at the right and the bottom, are left out, as PyTorch's convolutions do.
///
/// # Source
/// Liu et al. 2022, <https://arxiv.org/abs/2201.03545>; official `convnext.py`; timm `convnext.py`.
#[derive(Module, Debug)]
pub struct ConvNext {
    stem: (PatchConv2d, LayerNorm),
    stages: Vec<Stage>,
    head: Head,
}

/// A stage: blocks of one width, in all but the first after a norm and a convolution that halves the sides.
#[derive(Module, Debug)]
struct Stage {
    downsample: Option<(LayerNorm, PatchConv2d)>,
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Head {
    norm: LayerNorm,
}

/// Features at the positions of a grid.
struct Map {
    /// `[batch, position, channel]`
    values: Tensor<3>,
    /// Rows and columns.
    grid: [usize; 2],
}

impl Encoder for ConvNext {
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, dim]`, of the last of [`ConvNextConfig::dims`]
    ///
    /// The mode affects only drop-path: there is no batch norm.
    ///
    /// # Panics
    /// If the images are too small for one position of the last stage: smaller than eight patches.
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let mean = self.last_stage(images, pass).values.mean_dim(1);
        self.head.norm.forward(mean).squeeze_dim(1)
    }

    fn feature_dim(&self) -> usize {
        self.head.norm.weight.dims()[0]
    }

    /// The output of the last stage, before the norm of the head: timm's `forward_features`.
    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let Map { values, grid: [rows, columns] } = self.last_stage(images, pass);
        let [batch, _, dim] = values.dims();
        Some(values.swap_dims(1, 2).reshape([batch, dim, rows, columns]))
    }
}

impl ConvNext {
    fn last_stage(&self, images: Tensor<4>, pass: &Pass) -> Map {
        let (conv, norm) = &self.stem;
        let Map { values, grid } = conv.of_images(images);
        let map = Map { values: norm.forward(values), grid };
        self.stages.iter().fold(map, |map, stage| stage.forward(map, pass))
    }
}

impl Stage {
    fn forward(&self, map: Map, pass: &Pass) -> Map {
        let map = match &self.downsample {
            Some((norm, conv)) => conv.of_map(Map { values: norm.forward(map.values), grid: map.grid }),
            None => map,
        };
        self.blocks.iter().fold(map, |map, block| block.forward(map, pass))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, Init};

    fn encoder() -> ConvNext {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        ConvNextConfig::new([1; 4], [4, 6, 8, 10]).with_patch_size(2).init(&mut Init::new(0, &device))
    }

    fn images(height: usize, width: usize) -> Tensor<4> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let count = 2 * 3 * height * width;
        Tensor::<1, burn::tensor::Int>::arange(0..count as i64, &device)
            .float()
            .sin()
            .reshape([2, 3, height, width])
    }

    #[test]
    fn the_feature_is_the_normalised_mean_of_the_map() {
        let encoder = encoder();
        let map = encoder.feature_map(images(32, 48), &Pass::eval()).expect("a ConvNeXt has one");
        assert_eq!(map.dims(), [2, encoder.feature_dim(), 2, 3]);
        let mean = map.reshape([2, 10, 6]).mean_dim(2).swap_dims(1, 2);
        let feature = encoder.encode(images(32, 48), &Pass::eval());
        let want = encoder.head.norm.forward(mean).reshape([2, 10]).into_data();
        feature.into_data().assert_approx_eq::<f32>(&want, burn::tensor::Tolerance::rel_abs(1e-4, 1e-4));
    }

    #[test]
    fn pixels_that_patches_do_not_fill_are_left_out() {
        let encoder = encoder();
        // Positions: 18 x 21, 9 x 10, 4 x 5, 2 x 2.
        let map = encoder.feature_map(images(37, 43), &Pass::eval()).expect("a ConvNeXt has one");
        assert_eq!(map.dims(), [2, 10, 2, 2]);
        let seen = images(37, 43).slice([0..2, 0..3, 0..36, 0..42]);
        let again = encoder.feature_map(seen, &Pass::eval()).expect("a ConvNeXt has one");
        assert_eq!(map.into_data(), again.into_data());
    }

    #[test]
    #[should_panic(expected = "a grid of 1×4 is smaller than a patch of 2")]
    fn images_without_a_position_in_the_last_stage_are_refused() {
        encoder().encode(images(8, 32), &Pass::eval());
    }
}
