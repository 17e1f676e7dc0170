//! A ViT, block by block.

use ssl_core::nn::TransformerBlock;

use super::EncoderFootprint;
use crate::VitConfig;

/// Tensors of pixels: views cut into patches, and what cutting leaves behind.
const PIXELS: f64 = 2.0;

pub(super) fn footprint(config: &VitConfig, view_size: usize) -> EncoderFootprint {
    let (dim, depth) = (config.dim as f64, config.depth as f64);
    let (hidden, patch) = (config.mlp_ratio as f64 * dim, config.patch_size as f64);
    let extra = f64::from(u8::from(config.class_token)) + config.registers as f64;
    let length = |size: usize| ((size / config.patch_size) as f64).powi(2) + extra;
    let tokens = length(view_size);
    let pixels = 3.0 * (view_size as f64).powi(2);
    let apart = config.drop_path > 0.0;
    let kept = if apart { TransformerBlock::kept_apart } else { TransformerBlock::kept };
    let block = kept(config.dim, config.mlp_ratio) * tokens;
    // Without gradients, the single operation keeps nothing of the hidden width.
    let (of_gradients, of_plain) = if apart { (2.0 * hidden, 2.0 * hidden) } else { (hidden, 0.0) };
    EncoderFootprint {
        feature_dim: config.dim,
        parameters: parameters(config, length(config.image_size)),
        kept: depth * block + PIXELS * pixels,
        // Of the MLP and its input, in the block in progress.
        gradients: (of_gradients + 3.0 * dim) * tokens,
        plain: (6.0 * dim + of_plain) * tokens + patch.min(PIXELS) * pixels,
        workspace: 0.0,
    }
}

fn parameters(config: &VitConfig, length: f64) -> f64 {
    let (dim, patch) = (config.dim as f64, config.patch_size as f64);
    let scales = if config.layer_scale.is_some() { 2.0 } else { 0.0 };
    let block = TransformerBlock::parameters(config.dim, config.mlp_ratio) + scales * dim;
    let class = f64::from(u8::from(config.class_token));
    let mask = f64::from(u8::from(config.mask_token));
    // Registers have no position: they are part of `length`, and of the parameters.
    let tokens = (length + class + mask) * dim;
    config.depth as f64 * block + tokens + 3.0 * patch * patch * dim + 3.0 * dim
}
