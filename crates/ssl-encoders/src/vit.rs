//! Vision transformer with timm's parameter names.

mod attention;
mod layer_norm;
mod patch_embed;
mod pos_embed;
mod start;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_core::nn::{Linear, gelu};
use ssl_core::{Encoder, Init, Pass};

use attention::Attention;
use layer_norm::LayerNorm;
use patch_embed::PatchEmbed;
use pos_embed::pos_embed_for;
pub use pos_embed::resize_pos_embed;
pub use start::VitInit;

/// Configuration of a [`Vit`].
///
/// ```
/// # use ssl_core::{DeviceSpec, Encoder, Init};
/// # use ssl_encoders::VitConfig;
/// let device = DeviceSpec::Flex.open().unwrap();
/// let encoder = VitConfig::tiny().with_image_size(32).with_patch_size(4).init(&mut Init::new(0, &device));
/// assert_eq!(encoder.feature_dim(), 192);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitConfig {
    /// Height and width of the images that the position embedding is made for, in pixels. Default 224.
    pub image_size: usize,
    /// Height and width of a patch, in pixels. Default 16 (DINO; 8 is its slower, better variant). On images of 32
    /// pixels, 4.
    pub patch_size: usize,
    /// Length of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads; they share `dim`.
    pub heads: usize,
    /// Hidden units of a block's MLP per unit of `dim`. Default 4 (Dosovitskiy et al., table 1).
    pub mlp_ratio: usize,
    /// The initial values. Default [`VitInit::TruncatedNormal`].
    pub start: VitInit,
}

impl VitConfig {
    /// A network of tokens of length `dim`, with patches of 16 pixels and images of 224.
    pub fn new(dim: usize, depth: usize, heads: usize) -> Self {
        Self { image_size: 224, patch_size: 16, dim, depth, heads, mlp_ratio: 4, start: VitInit::default() }
    }

    /// ViT-Ti (DeiT, table 1, as the two below).
    pub fn tiny() -> Self {
        Self::new(192, 12, 3)
    }

    /// ViT-S. MoCo v3 has 12 heads instead of 6 (official `vits.py`): see [`with_heads`](Self::with_heads).
    pub fn small() -> Self {
        Self::new(384, 12, 6)
    }

    /// ViT-B.
    pub fn base() -> Self {
        Self::new(768, 12, 12)
    }

    /// Sets the size of the images that the position embedding is made for.
    pub fn with_image_size(mut self, image_size: usize) -> Self {
        self.image_size = image_size;
        self
    }

    /// Sets the size of a patch.
    pub fn with_patch_size(mut self, patch_size: usize) -> Self {
        self.patch_size = patch_size;
        self
    }

    /// Sets the number of attention heads.
    pub fn with_heads(mut self, heads: usize) -> Self {
        self.heads = heads;
        self
    }

    /// Sets the initial values.
    pub fn with_start(mut self, start: VitInit) -> Self {
        self.start = start;
        self
    }

    /// A network with the initial values of [`start`](Self::start).
    ///
    /// # Panics
    /// If the patch size does not divide the image size, or the number of heads not `dim`.
    pub fn init(&self, init: &mut Init) -> Vit {
        let (image, patch, dim) = (self.image_size, self.patch_size, self.dim);
        assert!(image.is_multiple_of(patch), "patches of {patch} pixels do not fill images of {image}");
        assert!(dim.is_multiple_of(self.heads), "{} heads cannot share tokens of length {dim}", self.heads);
        Vit {
            cls_token: self.start.class_token(dim, init),
            pos_embed: self.start.position_embedding(image / patch, dim, init),
            patch_embed: PatchEmbed { proj: self.start.patch_projection(dim, patch, init) },
            blocks: (0..self.depth).map(|_| self.block(init)).collect(),
            norm: LayerNorm::init(dim, init),
        }
    }

    fn block(&self, init: &mut Init) -> Block {
        let (dim, hidden) = (self.dim, self.dim * self.mlp_ratio);
        Block {
            norm1: LayerNorm::init(dim, init),
            attn: Attention {
                qkv: self.start.query_key_value(dim, init),
                proj: self.start.linear(dim, dim, init),
                heads: self.heads,
            },
            norm2: LayerNorm::init(dim, init),
            mlp: FeedForward {
                fc1: self.start.linear(dim, hidden, init),
                fc2: self.start.linear(hidden, dim, init),
            },
        }
    }
}

/// Vision transformer whose feature is the normalised class token.
///
/// The paths of its tensors are timm's (`cls_token`, `blocks.0.attn.qkv.weight`, `norm.bias`); there is no `head`.
///
/// Differs from DINO's training code, which drops whole branches at random (`drop_path` 0.1): that needs random
/// numbers inside a step, which no backend can save and restore, and a resumed run is to equal an uninterrupted one.
///
/// # Source
/// Dosovitskiy et al. 2020, <https://arxiv.org/abs/2010.11929>; timm `vision_transformer.py`; DINO
/// `vision_transformer.py` for images of another size than the position embedding is made for.
#[derive(Module, Debug)]
pub struct Vit {
    cls_token: Param<Tensor<3>>,
    pos_embed: Param<Tensor<3>>,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Encoder for Vit {
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, both multiples of the patch size
    /// - returns: `[batch, dim]`
    ///
    /// `mode` changes nothing: there is no batch norm.
    fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        let tokens = self.blocks.iter().fold(self.tokens(images), |tokens, block| block.forward(tokens));
        // The norm works on each token alone, and only the class token is kept.
        self.norm.forward(tokens.slice_dim(1, 0..1)).squeeze_dim(1)
    }

    fn feature_dim(&self) -> usize {
        self.cls_token.dims()[2]
    }
}

impl Vit {
    /// The class token and the patches, row by row, with their positions added.
    fn tokens(&self, images: Tensor<4>) -> Tensor<3> {
        let (patches, grid) = self.patch_embed.forward(images);
        let [batch, _, dim] = patches.dims();
        let class = self.cls_token.val().expand([batch, 1, dim]);
        Tensor::cat(vec![class, patches], 1) + pos_embed_for(self.pos_embed.val(), grid)
    }
}

/// A block that normalises before each of its two branches.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: FeedForward,
}

impl Block {
    fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        let tokens = tokens.clone() + self.attn.forward(self.norm1.forward(tokens));
        tokens.clone() + self.mlp.forward(self.norm2.forward(tokens))
    }
}

/// `fc2(gelu(fc1(x)))`, on each token alone, with the exact GELU `x · Φ(x)`.
#[derive(Module, Debug)]
struct FeedForward {
    fc1: Linear,
    fc2: Linear,
}

impl FeedForward {
    fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(gelu(self.fc1.forward(tokens)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

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
