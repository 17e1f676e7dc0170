//! Seconds of NT-Xent, forward and backward, on random embeddings. `cargo xtask bench loss` runs it.
//!
//! `cargo run --release -p burn-ssl --example loss_time -- --batch 4096 --dim 128 --runs 5 --device flex` prints one
//! JSON object; the first run is not among the figures.

mod measure;

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use burn_ssl::prelude::*;
use burn_ssl::simclr::nt_xent;

const TEMPERATURE: f64 = 0.5;

fn main() -> Result<()> {
    let mut options = measure::Options::from_command_line()?;
    let (batch, dim) = (options.number("batch", 512)?, options.number("dim", 128)?);
    let (runs, spec) = (options.number("runs", 5)?, options.text("device", "flex"));
    options.finish()?;
    let device = spec.parse::<DeviceSpec>()?.open()?;
    let before = measure::peak_memory();
    let _warm_up = seconds([batch, dim], &device);
    let seconds: Vec<f64> = (0..runs).map(|_| seconds([batch, dim], &device)).collect();
    measure::print(&serde_json::json!({
        "seconds": seconds,
        "peak_memory_bytes": measure::peak_memory(),
        "peak_memory_before_bytes": before,
        "device": spec,
        "batch": batch,
        "dim": dim,
    }));
    Ok(())
}

fn seconds(shape: [usize; 2], device: &Device) -> f64 {
    let embeddings = |seed| measure::random(shape, seed, &device.clone().autodiff()).require_grad();
    let (z1, z2) = (embeddings(1), embeddings(2));
    device.sync().expect("the device finishes its work");
    let start = Instant::now();
    let gradients = nt_xent(z1.clone(), z2.clone(), TEMPERATURE).backward();
    std::hint::black_box((z1.grad(&gradients), z2.grad(&gradients)));
    device.sync().expect("the device finishes its work");
    start.elapsed().as_secs_f64()
}
