//! From images to patches.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

/// Cuts images into patches and projects each to a token.
#[derive(Module, Debug)]
pub(super) struct PatchEmbed {
    pub(super) proj: PatchProjection,
}

/// A convolution whose stride is its kernel, with PyTorch's layout of `weight`: `[dim, channel, patch, patch]`.
///
/// Since no two patches overlap it is one matrix product, whose backward pass is fast on every backend.
#[derive(Module, Debug)]
pub(super) struct PatchProjection {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    /// Tokens, row by row, and the numbers of rows and columns.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, height / patch · width / patch, dim]`
    ///
    /// # Panics
    /// If the patch size does not divide height and width.
    pub(super) fn forward(&self, images: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let [batch, channels, height, width] = images.dims();
        let weight = self.proj.weight.val();
        let [dim, _, patch, _] = weight.dims();
        let whole = height.is_multiple_of(patch) && width.is_multiple_of(patch);
        assert!(whole, "patches of {patch} pixels do not fill images of {height}×{width}");

        let [rows, columns] = [height / patch, width / patch];
        let length = channels * patch * patch;
        let patches =
            images.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]);
        let patches = patches.reshape([batch, rows * columns, length]);
        let weight = weight.reshape([dim, length]).transpose();
        (module::linear(patches, weight, Some(self.proj.bias.val())), [rows, columns])
    }
}
