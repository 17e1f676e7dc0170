//! A ConvNeXt, stage by stage.

use super::EncoderFootprint;
use crate::ConvNextConfig;

/// Tensors of pixels: views cut into patches, and what cutting leaves behind.
const PIXELS: f64 = 2.0;
/// Hidden units of a block by its channels.
const MLP_RATIO: f64 = 4.0;
/// Values that a block keeps of a channel of a position: its input, that of the norm, and the argument of GELU.
const WHOLE: f64 = 2.0 + MLP_RATIO;
/// The same of a block that may drop its branch: also what the norm and GELU put out, and the branch before it is scaled.
const APART: f64 = 4.0 + 2.0 * MLP_RATIO;
/// Weights of a depthwise kernel.
const TAPS: f64 = 49.0;

pub(super) fn footprint(config: &ConvNextConfig, view_size: usize) -> EncoderFootprint {
    let pixels = 3.0 * (view_size as f64).powi(2);
    let mut found = EncoderFootprint {
        feature_dim: config.dims[3],
        parameters: (pixels_of(config.patch_size) + 3.0) * config.dims[0] as f64
            + 2.0 * config.dims[3] as f64,
        kept: PIXELS * pixels,
        gradients: 0.0,
        plain: 0.0,
        workspace: 0.0,
    };
    let mut side = (view_size / config.patch_size).max(1);
    for (stage, (&depth, &dim)) in config.depths.iter().zip(&config.dims).enumerate() {
        let before = (stage > 0).then(|| config.dims[stage - 1] as f64);
        let (depth, dim, positions) = (depth as f64, dim as f64, (side as f64).powi(2));
        if let Some(before) = before {
            // Of the stage before: the input of the norm, and its output cut into patches.
            found.kept += 2.0 * positions * before;
            side = (side / 2).max(1);
        } else {
            found.kept += positions * dim;
        }
        let positions = (side as f64).powi(2);
        found.parameters +=
            depth * block_parameters(dim) + before.map_or(0.0, |before| downsample(before, dim));
        // The first block of all never drops its branch.
        let apart = if drops(config) { depth - f64::from(u8::from(stage == 0)) } else { 0.0 };
        found.kept += ((depth - apart) * WHOLE + apart * APART) * dim * positions;
        found.gradients += gradients(config, dim) * positions;
        found.plain = found.plain.max(plain(config, dim) * positions);
    }
    found.plain = found.plain.max(PIXELS * pixels);
    found
}

fn pixels_of(patch_size: usize) -> f64 {
    3.0 * (patch_size as f64).powi(2)
}

fn block_parameters(dim: f64) -> f64 {
    let mlp = 2.0 * MLP_RATIO * dim * dim + (MLP_RATIO + 1.0) * dim;
    // The kernels with their bias, the norm, the factors.
    mlp + (TAPS + 1.0) * dim + 2.0 * dim + dim
}

/// Parameters of the norm and the convolution between two stages.
fn downsample(from: f64, to: f64) -> f64 {
    2.0 * from + (4.0 * from + 1.0) * to
}

/// Whether the MLP of a block is no single operation, because the block may drop it.
fn drops(config: &ConvNextConfig) -> bool {
    config.drop_path > 0.0
}

/// Gradients of a position in a block.
fn gradients(config: &ConvNextConfig, dim: f64) -> f64 {
    match drops(config) {
        false => (MLP_RATIO + 4.0) * dim,
        true => (2.0 * MLP_RATIO + 3.0) * dim,
    }
}

/// Values of a position in a pass without gradients.
fn plain(config: &ConvNextConfig, dim: f64) -> f64 {
    match drops(config) {
        false => 5.0 * dim,
        true => (2.0 * MLP_RATIO + 5.0) * dim,
    }
}
