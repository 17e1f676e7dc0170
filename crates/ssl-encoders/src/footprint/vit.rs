//! A ViT, block by block.

use super::EncoderFootprint;
use crate::VitConfig;

/// Tensors of tokens that a block keeps: its input, normalised; queries, keys and values together; the output of the
/// attention; the input of the MLP.
const TOKENS: f64 = 7.0;
/// Of the MLP, per hidden width: the argument of the activation.
const HIDDEN: f64 = 1.0;
/// The same where the MLP is no single operation, because of layer scale or drop-path: also what the MLP's norm and the
/// activation put out, and both branches before they are scaled.
const APART: (f64, f64) = (10.0, 2.0);
/// Tensors of pixels: views cut into patches, and what cutting leaves behind.
const PIXELS: f64 = 2.0;

pub(super) fn footprint(config: &VitConfig, view_size: usize) -> EncoderFootprint {
    let (dim, depth) = (config.dim as f64, config.depth as f64);
    let (hidden, patch) = (config.mlp_ratio as f64 * dim, config.patch_size as f64);
    let extra = f64::from(u8::from(config.class_token)) + config.registers as f64;
    let length = |size: usize| ((size / config.patch_size) as f64).powi(2) + extra;
    let tokens = length(view_size);
    let pixels = 3.0 * (view_size as f64).powi(2);
    let apart = config.layer_scale.is_some() || config.drop_path > 0.0;
    let (of_tokens, of_hidden) = if apart { APART } else { (TOKENS, HIDDEN) };
    let block = (of_tokens * dim + of_hidden * hidden) * tokens;
    EncoderFootprint {
        feature_dim: config.dim,
        parameters: parameters(config, hidden, length(config.image_size)),
        kept: depth * block + PIXELS * pixels,
        // Of the MLP and its input, in the block in progress.
        gradients: (of_hidden * hidden + 3.0 * dim) * tokens,
        plain: (6.0 * dim + if apart { of_hidden * hidden } else { 0.0 }) * tokens
            + patch.min(PIXELS) * pixels,
        workspace: 0.0,
    }
}

fn parameters(config: &VitConfig, hidden: f64, length: f64) -> f64 {
    let (dim, patch) = (config.dim as f64, config.patch_size as f64);
    let scales = if config.layer_scale.is_some() { 2.0 } else { 0.0 };
    let attention = 4.0 * dim * dim + 4.0 * dim;
    let mlp = 2.0 * dim * hidden + hidden + dim;
    let block = attention + mlp + (4.0 + scales) * dim;
    let class = f64::from(u8::from(config.class_token));
    let mask = f64::from(u8::from(config.mask_token));
    // Registers have no position: they are part of `length`, and of the parameters.
    let tokens = (length + class + mask) * dim;
    config.depth as f64 * block + tokens + 3.0 * patch * patch * dim + 3.0 * dim
}
