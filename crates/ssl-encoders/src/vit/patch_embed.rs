//! From images to patches.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_core::nn;

/// Cuts images into patches and projects each patch to a token.
#[derive(Module, Debug)]
pub(super) struct PatchEmbed {
    pub(super) proj: PatchProjection,
}

/// A convolution whose stride equals its kernel size, with PyTorch's `weight` layout: `[dim, channel, patch, patch]`.
///
/// Since patches do not overlap, it is a single matrix product, whose backward pass is fast on every backend.
#[derive(Module, Debug)]
pub(super) struct PatchProjection {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    /// Rows and columns of patches in images of `[height, width]` pixels.
    ///
    /// # Panics
    /// If height and width are not multiples of the patch size.
    pub(super) fn grid(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let [_, _, patch, _] = self.proj.weight.dims();
        let whole = height.is_multiple_of(patch) && width.is_multiple_of(patch);
        assert!(whole, "patches of {patch} pixels do not fill images of {height}×{width}");
        [height / patch, width / patch]
    }

    /// The pixels of each patch, row by row.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, patch, channel · patch height · patch width]`
    ///
    /// # Panics
    /// As [`grid`](Self::grid).
    pub(super) fn cut(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = images.dims();
        let [rows, columns] = self.grid([height, width]);
        let patch = height / rows;
        let pixels =
            images.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
        pixels.reshape([batch, rows * columns, channels * patch * patch])
    }

    /// Projects patches to tokens.
    ///
    /// # Shapes
    /// - `pixels`: `[batch, patch, pixel]`
    /// - returns: `[batch, patch, dim]`
    pub(super) fn project(&self, pixels: Tensor<3>) -> Tensor<3> {
        let [_, _, length] = pixels.dims();
        let weight = self.proj.weight.val();
        let [dim, ..] = weight.dims();
        nn::linear(pixels, weight.reshape([dim, length]), Some(self.proj.bias.val()))
    }
}
