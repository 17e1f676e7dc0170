//! Vision transformer with timm's parameter names.

mod config;
mod patch_embed;
mod pool;
mod positions;
mod start;
mod tokens;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
pub use ssl_core::nn::resize_pos_embed;
use ssl_core::nn::{LayerNorm, TransformerBlock};
use ssl_core::{Encoder, Masking, Pass, TokenEncoder};

pub use config::VitConfig;
use patch_embed::PatchEmbed;
pub use pool::Pool;
pub use positions::Positions;
pub use start::VitInit;

/// A vision transformer. Its feature is the normalised class token or the mean of the normalised patches, as
/// [`VitConfig::pool`] says.
///
/// Its tensors have timm's paths (`cls_token`, `blocks.0.attn.qkv.weight`, `norm.bias`); there is no `head`. Those that
/// only DINOv2 has use DINOv2's names: `register_tokens`, `mask_token`, `blocks.0.ls1.gamma`.
///
/// Tokens are ordered: class token, registers, patches row by row. The class token has an entry in the position
/// embedding; registers have none.
///
/// # Source
/// Dosovitskiy et al. 2020, <https://arxiv.org/abs/2010.11929>; timm `vision_transformer.py`; DINO
/// `vision_transformer.py` for images whose size differs from that of the position embedding. Registers: Darcet et al.
/// 2023, <https://arxiv.org/abs/2309.16588>; DINOv2 `vision_transformer.py`.
#[derive(Module, Debug)]
pub struct Vit {
    cls_token: Option<Param<Tensor<3>>>,
    pos_embed: Param<Tensor<3>>,
    patch_embed: PatchEmbed,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    register_tokens: Option<Param<Tensor<3>>>,
    mask_token: Option<Param<Tensor<2>>>,
    #[module(skip)]
    pool: Pool,
}

impl Encoder for Vit {
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, both multiples of the patch size
    /// - returns: `[batch, dim]`
    ///
    /// The mode affects only drop-path: there is no batch norm.
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.encode_pooled(images, Masking::None, pass)
    }

    fn feature_dim(&self) -> usize {
        self.pos_embed.dims()[2]
    }

    fn tokens(&self) -> Option<&dyn TokenEncoder> {
        Some(self)
    }

    /// The normalised patches.
    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let [batch, _, height, width] = images.dims();
        let [rows, columns] = self.patch_grid([height, width]);
        let patches = self.encode_tokens(images, Masking::None, pass).patches;
        Some(patches.swap_dims(1, 2).reshape([batch, self.feature_dim(), rows, columns]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, Init};

    #[test]
    fn smaller_and_rectangular_images_give_a_feature() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let config = VitConfig::new(16, 1, 2).with_image_size(16).with_patch_size(4);
        let encoder = config.init(&mut Init::new(0, &device));
        for size in [[16, 16], [8, 8], [4, 12]] {
            let images = Tensor::ones([2, 3, size[0], size[1]], &device);
            assert_eq!(encoder.encode(images, &Pass::eval()).dims(), [2, encoder.feature_dim()], "{size:?}");
        }
    }

    #[test]
    #[should_panic(expected = "patches of 16 pixels do not fill images of 40")]
    fn patches_that_do_not_fill_the_image_are_refused() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        VitConfig::tiny().with_image_size(40).init(&mut Init::new(0, &device));
    }
}
