//! Seconds of k-NN on random features. `cargo xtask bench knn` runs it.
//!
//! `cargo run --release -p burn-ssl --example knn_time -- --queries 10000 --bank 50000 --dim 512 --device flex` prints
//! one JSON object.

mod measure;

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use burn_ssl::prelude::*;

const CLASSES: usize = 10;

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let mut options = measure::Options::from_command_line()?;
    let (queries, bank) = (options.number("queries", 10_000)?, options.number("bank", 50_000)?);
    let (dim, runs, k) = (options.number("dim", 512)?, options.number("runs", 1)?, options.number("k", 20)?);
    let spec = options.text("device", "flex");
    options.finish()?;
    let spec = spec.parse::<DeviceSpec>()?;
    let device = spec.open()?;
    let config = KnnConfig { k, ..KnnConfig::default() };
    knn(&features([10 * k, dim], 1, &device), &features([k, dim], 2, &device), &config)?;
    let (bank, queries) = (features([bank, dim], 1, &device), features([queries, dim], 2, &device));
    let memory = measure::Memory::start();
    let mut seconds = Vec::new();
    let mut top1 = 0.0;
    for _ in 0..runs {
        device.sync()?;
        let start = Instant::now();
        top1 = knn(&bank, &queries, &config)?.top1;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut result = serde_json::json!({
        "seconds": seconds,
        "device": spec.to_string(),
        "vectors": spec.vectors(),
        "top1": top1,
    });
    memory.add_to(&mut result);
    measure::print(&result);
    Ok(())
}

fn features(shape: [usize; 2], seed: u64, device: &Device) -> Features {
    let labels = (0..shape[0]).map(|image| (image % CLASSES) as i64).collect();
    Features { values: measure::random(shape, seed, device), labels: Some(labels) }
}
