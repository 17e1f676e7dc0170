//! Seconds of NT-Xent, forward and backward, on random embeddings. `cargo xtask bench loss` runs it.
//!
//! `cargo run --release -p burn-ssl --example loss_time -- --batch 4096 --dim 128 --runs 5 --device flex` prints one
//! JSON object; the first run is not among the figures.

mod measure;

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use burn_ssl::prelude::*;
use burn_ssl::simclr::nt_xent;

const TEMPERATURE: f64 = 0.5;

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let mut options = measure::Options::from_command_line()?;
    let (batch, dim) = (options.number("batch", 512)?, options.number("dim", 128)?);
    let (runs, spec) = (options.number("runs", 5)?, options.text("device", "flex"));
    options.finish()?;
    let spec = spec.parse::<DeviceSpec>()?;
    let device = spec.open()?;
    seconds(&embeddings([8, dim], &device), &device);
    let embeddings = embeddings([batch, dim], &device);
    let memory = measure::Memory::start();
    let _warm_up = seconds(&embeddings, &device);
    let seconds: Vec<f64> = (0..runs).map(|_| seconds(&embeddings, &device)).collect();
    let mut result = serde_json::json!({
        "seconds": seconds,
        "device": spec.to_string(),
        "vectors": spec.vectors(),
        "batch": batch,
        "dim": dim,
    });
    memory.add_to(&mut result);
    measure::print(&result);
    Ok(())
}

fn embeddings(shape: [usize; 2], device: &Device) -> [Tensor<2>; 2] {
    [1, 2].map(|seed| measure::random(shape, seed, &device.clone().autodiff()).require_grad())
}

fn seconds([z1, z2]: &[Tensor<2>; 2], device: &Device) -> f64 {
    device.sync().expect("the device finishes its work");
    let start = Instant::now();
    let gradients = nt_xent(z1.clone(), z2.clone(), TEMPERATURE).backward();
    std::hint::black_box((z1.grad(&gradients), z2.grad(&gradients)));
    device.sync().expect("the device finishes its work");
    start.elapsed().as_secs_f64()
}
