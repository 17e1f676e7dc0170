//! Convolutions of patches that do not overlap.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_core::Precision;
use ssl_core::nn::linear;

use super::Map;

/// A convolution whose stride equals its kernel size, with PyTorch's layout of the weight. It is a matrix product of patches.
#[derive(Module, Debug)]
pub(super) struct PatchConv2d {
    /// `[channel_out, channel_in, patch, patch]`
    pub(super) weight: Param<Tensor<4>>,
    /// `[channel_out]`
    pub(super) bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(super) precision: Precision,
}

impl PatchConv2d {
    /// The patches of images, `[batch, channel, height, width]`.
    pub(super) fn of_images(&self, images: Tensor<4>) -> Map {
        let [batch, channels, height, width] = images.dims();
        let (patch, grid @ [rows, columns]) = self.grid([height, width]);
        let images = match [rows * patch, columns * patch] == [height, width] {
            true => images,
            false => images.slice([0..batch, 0..channels, 0..rows * patch, 0..columns * patch]),
        };
        let patches =
            images.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
        let patches = patches.reshape([batch, rows * columns, channels * patch * patch]);
        Map { values: self.product(patches, self.weight.val()), grid }
    }

    /// The patches of a map.
    pub(super) fn of_map(&self, map: Map) -> Map {
        let [batch, _, channels] = map.values.dims();
        let [height, width] = map.grid;
        let (patch, grid @ [rows, columns]) = self.grid(map.grid);
        let values = map.values.reshape([batch, height, width, channels]);
        let values = match [rows * patch, columns * patch] == map.grid {
            true => values,
            false => values.slice([0..batch, 0..rows * patch, 0..columns * patch]),
        };
        let patches =
            values.reshape([batch, rows, patch, columns, patch, channels]).permute([0, 1, 3, 2, 4, 5]);
        let patches = patches.reshape([batch, rows * columns, patch * patch * channels]);
        // Channels last in the weight too: it is smaller than the patches are.
        Map { values: self.product(patches, self.weight.val().permute([0, 2, 3, 1])), grid }
    }

    fn product(&self, patches: Tensor<3>, weight: Tensor<4>) -> Tensor<3> {
        let ([outputs, ..], [_, _, length]) = (weight.dims(), patches.dims());
        let weight = self.precision.rounded(weight.reshape([outputs, length]));
        let bias = self.precision.rounded(self.bias.val());
        self.precision.restored(linear(self.precision.rounded(patches), weight, Some(bias)))
    }

    /// The size of a patch, and the rows and columns of whole patches.
    fn grid(&self, [height, width]: [usize; 2]) -> (usize, [usize; 2]) {
        let [_, _, patch, _] = self.weight.dims();
        let has_some = height >= patch && width >= patch;
        assert!(
            has_some,
            "a grid of {height}×{width} is smaller than a patch of {patch}: expected images of eight patches of the stem"
        );
        (patch, [height / patch, width / patch])
    }
}
