//! Seconds in which an encoder embeds a batch of images: features in evaluation mode, on images made once. `cargo xtask bench embed`
//! runs it.
//!
//! `cargo run --release -p burn-ssl --example embed_time -- --recipe simclr/imagenet --batch 32 --device flex` prints one JSON
//! object. Instead of a name, `--recipe` takes a file.

mod measure;
mod work;

use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};
use burn_ssl::encoders::EncoderConfig;
use burn_ssl::prelude::*;
use serde_json::json;

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let mut options = measure::Options::from_command_line()?;
    let (recipe, batch) = (options.text("recipe", "simclr/imagenet"), options.number("batch", 0)?);
    let (runs, warmup) = (options.number("runs", 3)?, options.number("warmup", 1)?);
    let spec = options.text("device", "flex");
    options.finish()?;
    let recipe = work::recipe(&recipe, batch)?;
    let spec = spec.parse::<DeviceSpec>()?;
    let device = spec.open()?;
    let size = recipe.data.image_size;
    let images = |count: usize| measure::random([count, 3, size, size], recipe.seed, &device);
    embed(&work::small(&recipe.encoder), &images(2), &device, 1)?;
    let images = images(recipe.schedule.batch_size);
    let memory = measure::Memory::start();
    let (mut seconds, features) = embed(&recipe.encoder, &images, &device, warmup + runs)?;
    let mut result = json!({
        "seconds": seconds.split_off(warmup),
        "features": features,
        "device": spec.to_string(),
        "vectors": spec.vectors(),
    });
    memory.add_to(&mut result);
    measure::print(&result);
    Ok(())
}

/// Seconds of the first batches of a new encoder, and the shape of their features.
///
/// # Shapes
/// - `images`: `[batch, channel, height, width]`
fn embed(
    encoder: &EncoderConfig,
    images: &Tensor<4>,
    device: &Device,
    runs: usize,
) -> Result<(Vec<f64>, [usize; 2])> {
    let [batch, _, size, _] = images.dims();
    let encoder = encoder.init(size, &mut Init::new(0, device))?;
    let expected = [batch, encoder.feature_dim()];
    let mut seconds = Vec::new();
    for _ in 0..runs {
        device.sync()?;
        let start = Instant::now();
        // As `burn-ssl embed` and the evaluations call it.
        let features = encoder.encode(images.clone(), &Pass::eval());
        device.sync()?;
        seconds.push(start.elapsed().as_secs_f64());
        let found = features.dims();
        ensure!(found == expected, "features have shape {found:?}, expected {expected:?}");
    }
    Ok((seconds, expected))
}
