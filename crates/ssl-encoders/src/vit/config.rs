//! Configuration of a ViT.

use ssl_core::Init;
use ssl_core::nn::{Attention, DropPath, FeedForward, LayerNorm, TransformerBlock};

use super::patch_embed::PatchEmbed;
use super::{Pool, Positions, Vit, VitInit};

/// Configuration of a [`Vit`].
///
/// ```
/// # use ssl_core::{DeviceSpec, Encoder, Init};
/// # use ssl_encoders::VitConfig;
/// let device = DeviceSpec::Flex.open().unwrap();
/// let encoder = VitConfig::tiny().with_image_size(32).with_patch_size(4).init(&mut Init::new(0, &device));
/// assert_eq!(encoder.feature_dim(), 192);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Size of the images that the position embedding is created for, in pixels. Default 224.
    pub image_size: usize,
    /// Height and width of a patch, in pixels. Default 16 (DINO; its variant with 8 is slower and better). For images
    /// of 32 pixels, use 4.
    pub patch_size: usize,
    /// Length of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads, which divides `dim`.
    pub heads: usize,
    /// Hidden units of a block's MLP divided by `dim`. Default 4 (Dosovitskiy et al., table 1).
    pub mlp_ratio: usize,
    /// The initial values. Default [`VitInit::TruncatedNormal`].
    pub start: VitInit,
    /// The position embedding. Default [`Positions::Learned`].
    pub positions: Positions,
    /// What the feature is made of; `None` for the class token, or the mean of the patches where there is none. Default
    /// `None`.
    pub pool: Option<Pool>,
    /// Whether there is a class token. Default `true` (Dosovitskiy et al., eq. 1); I-JEPA has none.
    pub class_token: bool,
    /// Number of registers: extra tokens that belong to no patch. Default 0; Darcet et al. 2023 find that 4 are enough.
    pub registers: usize,
    /// Whether there is a mask token, for [`Masking::Replace`](ssl_core::Masking::Replace). Default `false`; iBOT,
    /// DINOv2 and SimMIM have one.
    pub mask_token: bool,
    /// Initial value of the learned factors that scale each channel of a block's branches; `None` for no factors.
    /// Default `None`; 1e-5 in DINOv2 (official `vitl14.yaml`).
    pub layer_scale: Option<f64>,
    /// Probability that the last block drops a branch for an image during training; the rate rises linearly from 0 in
    /// the first block. Default 0; 0.1 in DINO (`--drop_path_rate`).
    pub drop_path: f64,
}

impl VitConfig {
    /// Creates a network with tokens of length `dim`, patches of 16 pixels and images of 224.
    pub fn new(dim: usize, depth: usize, heads: usize) -> Self {
        Self {
            image_size: 224,
            patch_size: 16,
            dim,
            depth,
            heads,
            mlp_ratio: 4,
            start: VitInit::default(),
            positions: Positions::default(),
            pool: None,
            class_token: true,
            registers: 0,
            mask_token: false,
            layer_scale: None,
            drop_path: 0.0,
        }
    }

    /// ViT-Ti (DeiT, table 1, like the two below).
    pub fn tiny() -> Self {
        Self::new(192, 12, 3)
    }

    /// ViT-S. MoCo v3 uses 12 heads instead of 6 (official `vits.py`): see [`with_heads`](Self::with_heads).
    pub fn small() -> Self {
        Self::new(384, 12, 6)
    }

    /// ViT-B.
    pub fn base() -> Self {
        Self::new(768, 12, 12)
    }

    /// ViT-L (Dosovitskiy et al., table 1).
    pub fn large() -> Self {
        Self::new(1024, 24, 16)
    }

    /// Sets the size of the images that the position embedding is created for.
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

    /// Sets the position embedding.
    pub fn with_positions(mut self, positions: Positions) -> Self {
        self.positions = positions;
        self
    }

    /// Sets what the feature is made of.
    pub fn with_pool(mut self, pool: impl Into<Option<Pool>>) -> Self {
        self.pool = pool.into();
        self
    }

    /// Sets whether there is a class token.
    pub fn with_class_token(mut self, class_token: bool) -> Self {
        self.class_token = class_token;
        self
    }

    /// Sets the number of registers.
    pub fn with_registers(mut self, registers: usize) -> Self {
        self.registers = registers;
        self
    }

    /// Sets whether there is a mask token.
    pub fn with_mask_token(mut self, mask_token: bool) -> Self {
        self.mask_token = mask_token;
        self
    }

    /// Sets the initial value of the factors that scale each branch of a block.
    pub fn with_layer_scale(mut self, layer_scale: impl Into<Option<f64>>) -> Self {
        self.layer_scale = layer_scale.into();
        self
    }

    /// Sets the probability that the last block drops a branch.
    pub fn with_drop_path(mut self, drop_path: f64) -> Self {
        self.drop_path = drop_path;
        self
    }

    /// Creates a network with the initial values of [`start`](Self::start).
    ///
    /// # Panics
    /// If the patch size does not divide the image size, the number of heads does not divide `dim`, the drop-path rate is
    /// not in `[0, 1)`, or the feature is to be a class token that there is not.
    pub fn init(&self, init: &mut Init) -> Vit {
        self.assert_usable();
        let (side, dim, start) = (self.image_size / self.patch_size, self.dim, self.start);
        // Values are drawn in field order; new fields go to the end, so that existing networks keep their values.
        Vit {
            cls_token: self.class_token.then(|| start.class_token(dim, init)),
            pos_embed: self.positions.init(start, self.class_token, side, dim, init),
            patch_embed: PatchEmbed { proj: start.patch_projection(dim, self.patch_size, init) },
            blocks: (0..self.depth).map(|index| self.block(index, init)).collect(),
            norm: LayerNorm::init(dim, init),
            register_tokens: (self.registers > 0).then(|| start.registers(self.registers, dim, init)),
            mask_token: self.mask_token.then(|| start.mask_token(dim, init)),
            pool: self.pooling(),
        }
    }

    fn assert_usable(&self) {
        let Self { image_size: image, patch_size: patch, dim, heads, drop_path, .. } = *self;
        assert!(image.is_multiple_of(patch), "patches of {patch} pixels do not fill images of {image}");
        assert!(dim.is_multiple_of(heads), "{heads} heads cannot share tokens of length {dim}");
        let is_rate = (0.0..1.0).contains(&drop_path);
        assert!(is_rate, "a drop-path rate is 0 or more and below 1, got {drop_path}");
        let has_feature = self.class_token || self.pool != Some(Pool::Class);
        assert!(
            has_feature,
            "a ViT without a class token cannot have it as its feature: expected Pool::Mean"
        );
    }

    /// What the feature is made of: [`pool`](Self::pool), or what it stands for.
    pub fn pooling(&self) -> Pool {
        self.pool.unwrap_or(if self.class_token { Pool::Class } else { Pool::Mean })
    }

    fn block(&self, index: usize, init: &mut Init) -> TransformerBlock {
        let (dim, hidden, start) = (self.dim, self.dim * self.mlp_ratio, self.start);
        let (qkv, proj) = (start.query_key_value(dim, init), start.last_of_branch(dim, dim, index, init));
        let (fc1, fc2) = (start.linear(dim, hidden, init), start.last_of_branch(hidden, dim, index, init));
        let attention = Attention { qkv, proj, heads: self.heads };
        let block = TransformerBlock::new(attention, FeedForward { fc1, fc2 }, init);
        let block = block.with_drop_path(DropPath { block: index, rate: self.drop_path_of(index) });
        match self.layer_scale {
            Some(value) => block.with_layer_scale(value, init),
            None => block,
        }
    }

    /// `linspace(0, drop_path, depth)[index]`, as in timm and DINO.
    fn drop_path_of(&self, index: usize) -> f64 {
        match self.depth {
            0 | 1 => 0.0,
            depth => self.drop_path * index as f64 / (depth - 1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_layers_of_deep_blocks_start_small_where_the_scheme_says_so() {
        let device = ssl_core::DeviceSpec::Flex.open().expect("flex is compiled in");
        let config = VitConfig::new(64, 8, 2).with_image_size(8).with_patch_size(4);
        let spread = |start, path: &str| {
            let vit = config.clone().with_start(start).init(&mut Init::new(0, &device));
            let values: Vec<f64> = ssl_core::named::collect(&vit)[path].iter().collect();
            (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
        };
        let ratio =
            |start| spread(start, "blocks.0.mlp.fc2.weight") / spread(start, "blocks.7.mlp.fc2.weight");
        assert!((ratio(VitInit::TruncatedNormalScaled) - 8.0_f64.sqrt()).abs() < 0.1);
        assert!((ratio(VitInit::TruncatedNormal) - 1.0).abs() < 0.05);
        let first = spread(VitInit::TruncatedNormalScaled, "blocks.7.mlp.fc1.weight");
        assert!((first - spread(VitInit::TruncatedNormal, "blocks.7.mlp.fc1.weight")).abs() < 1e-3);
    }

    #[test]
    fn the_drop_path_rate_rises_linearly_over_the_blocks() {
        let config = VitConfig::new(8, 5, 2).with_drop_path(0.4);
        let rates: Vec<f64> = (0..5).map(|index| config.drop_path_of(index)).collect();
        for (rate, expected) in rates.iter().zip([0.0, 0.1, 0.2, 0.3, 0.4]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        // `linspace` with one point gives its start.
        assert_eq!(VitConfig::new(8, 1, 2).with_drop_path(0.4).drop_path_of(0), 0.0);
    }
}
