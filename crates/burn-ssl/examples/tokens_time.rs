//! Seconds and memory of what depends on the number of tokens: attention, and an encoder that sees some patches only.
//! `cargo xtask bench tokens` runs it.
//!
//! `cargo run --release -p burn-ssl --example tokens_time -- --tokens 4000 --device flex` prints one JSON object: forward and backward
//! of an attention with the heads of ViT-tiny. With `--kept 49`, it is a ViT-tiny with patches of 16 pixels on images of 224, which
//! sees so many of their 196 patches.

mod measure;

use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_ssl::core::nn::attention;
use burn_ssl::core::{Encoder, Init, Masking, Pass};
use burn_ssl::encoders::EncoderConfig;
use burn_ssl::prelude::*;

/// The heads of ViT-tiny.
const HEADS: [usize; 2] = [3, 64];
/// Pixels of an image, and patches that it has.
const IMAGE: (usize, usize) = (224, 196);

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let mut options = measure::Options::from_command_line()?;
    let (tokens, kept) = (options.number("tokens", 0)?, options.number("kept", 0)?);
    let (batch, runs) = (options.number("batch", 1)?, options.number("runs", 5)?);
    let spec = options.text("device", "flex");
    options.finish()?;
    let spec = spec.parse::<DeviceSpec>()?;
    let device = spec.open()?.autodiff();
    ensure!(kept > 0 || tokens > 0, "nothing to time: expected --tokens NUMBER or --kept NUMBER");
    let (seconds, memory) = match kept {
        0 => attend(batch, tokens, runs, &device),
        kept => encode(batch, kept, runs, &device)?,
    };
    let mut result = serde_json::json!({
        "seconds": seconds,
        "device": spec.to_string(),
        "vectors": spec.vectors(),
        "batch": batch,
    });
    memory.add_to(&mut result);
    measure::print(&result);
    Ok(())
}

fn attend(batch: usize, tokens: usize, runs: usize, device: &Device) -> (Vec<f64>, measure::Memory) {
    let [heads, head_dim] = HEADS;
    let qkv = |tokens| measure::random([batch, tokens, 3 * heads * head_dim], 1, device).require_grad();
    let step = |qkv: &Tensor<3>| {
        let gradients = attention(qkv.clone(), heads).sum().backward();
        std::hint::black_box(qkv.grad(&gradients));
    };
    let (few, qkv) = (qkv(8), qkv(tokens));
    timed(|| step(&few), || step(&qkv), runs, device)
}

fn encode(batch: usize, kept: usize, runs: usize, device: &Device) -> Result<(Vec<f64>, measure::Memory)> {
    let (size, patches) = IMAGE;
    let encoder = EncoderConfig::named("vit-tiny").init(size, &mut Init::new(0, device))?;
    let images = |count| measure::random([count, 3, size, size], 1, device);
    let places = |count: usize| {
        let of_image = (0..kept).map(|place| (place * patches / kept) as i64);
        let places = (0..count).flat_map(|_| of_image.clone()).collect();
        Tensor::<2, Int>::from_data(TensorData::new::<i64, _>(places, [count, kept]), device)
    };
    let step = |images: &Tensor<4>| {
        let masking = if kept == patches { Masking::None } else { Masking::Keep(places(images.dims()[0])) };
        let tokens = encoder.tokens().expect("a ViT");
        let tokens = tokens.encode_tokens(images.clone(), masking, &Pass::train());
        std::hint::black_box(tokens.patches.sum().backward());
    };
    let (few, images) = (images(1), images(batch));
    Ok(timed(|| step(&few), || step(&images), runs, device))
}

/// Seconds of each run of `step` after the first one, and memory since a step of `little` work loaded the code.
fn timed(little: impl Fn(), step: impl Fn(), runs: usize, device: &Device) -> (Vec<f64>, measure::Memory) {
    little();
    let memory = measure::Memory::start();
    let seconds = (0..=runs).map(|_| {
        device.sync().expect("the device finishes its work");
        let start = Instant::now();
        step();
        device.sync().expect("the device finishes its work");
        start.elapsed().as_secs_f64()
    });
    (seconds.collect::<Vec<_>>().split_off(1), memory)
}
