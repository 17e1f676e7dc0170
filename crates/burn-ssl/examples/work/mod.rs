//! What is timed by a recipe: reading it, and a small encoder like its own.

use anyhow::Result;
use burn_ssl::encoders::{EncoderConfig, Family};
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;

/// A named recipe, or that in a file, with every key filled in. A `batch` of 0 leaves that of the recipe.
pub(crate) fn recipe(name: &str, batch: usize) -> Result<Recipe> {
    let mut draft = Draft::open(name)?;
    if batch > 0 {
        draft.set("schedule.batch_size", batch as i64)?;
    }
    Ok(draft.finish()?.resolved()?)
}

/// An encoder that runs the same code and, unless it is a ViT, is narrow. `xtask/baseline` has the same.
pub(crate) fn small(encoder: &EncoderConfig) -> EncoderConfig {
    let mut small = EncoderConfig { bn_splits: 1, ..encoder.clone() };
    match encoder.family() {
        Some(Family::ResNet) => small.width = 8,
        Some(Family::ConvNext) => small.dims = Some([8, 16, 32, 64]),
        _ => {}
    }
    small
}
