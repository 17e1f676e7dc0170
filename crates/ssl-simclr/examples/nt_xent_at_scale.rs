//! Memory and time of NT-Xent, forward and backward, compared with a version that holds the whole similarity matrix.
//!
//! ```sh
//! cargo run --release -p ssl-simclr --example nt_xent_at_scale -- memory 16384 128
//! cargo run --release -p ssl-simclr --example nt_xent_at_scale -- time 4096 128
//! ```
//!
//! `memory` prints how much the peak memory of the process rose (Linux), `time` the medians of both versions,
//! alternated.

#![allow(clippy::print_stdout)] // the result of the program

use std::error::Error;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_simclr::{DeviceSpec, nt_xent};

const TEMPERATURE: f64 = 0.1;

/// Number of timed runs of each version, after one warm-up run.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    ssl_core::tune_process();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, batch, dim, rest @ ..] = words.as_slice() else {
        return Err("expected: memory|time BATCH DIM [DEVICE]".into());
    };
    let (batch, dim) = (batch.parse()?, dim.parse()?);
    let device = rest.first().map_or("flex", String::as_str).parse::<DeviceSpec>()?.open()?;
    match what.as_str() {
        "memory" => memory(batch, dim, &device),
        "time" => time(batch, dim, &device),
        _ => Err(format!("found '{what}', expected memory or time").into()),
    }
}

fn memory(batch: usize, dim: usize, device: &Device) -> Result<(), Box<dyn Error>> {
    let views = [leaf(batch, dim, 1.0, device), leaf(batch, dim, 2.0, device)];
    let before = status("VmRSS:")?;
    let loss = step(nt_xent, &views);
    let extra = status("VmHWM:")? - before;
    println!("batch {batch}, dim {dim}: loss {loss:.6}, {extra:.0} MiB above the {before:.0} MiB before");
    Ok(())
}

fn time(batch: usize, dim: usize, device: &Device) -> Result<(), Box<dyn Error>> {
    let views = [leaf(batch, dim, 1.0, device), leaf(batch, dim, 2.0, device)];
    let forms: [(&str, Form); 2] = [("in blocks", nt_xent), ("whole", whole)];
    let mut seconds = [Vec::new(), Vec::new()];
    for run in 0..=RUNS {
        for (index, (name, form)) in forms.iter().enumerate() {
            let start = Instant::now();
            let loss = step(*form, &views);
            match run {
                0 => println!("{name}: loss {loss:.6}"),
                _ => seconds[index].push(start.elapsed().as_secs_f64()),
            }
        }
    }
    let [blocks, whole] = seconds.map(median);
    println!(
        "batch {batch}, dim {dim}: in blocks {blocks:.3} s, whole {whole:.3} s, ratio {:.2}",
        whole / blocks
    );
    Ok(())
}

type Form = fn(Tensor<2>, Tensor<2>, f64) -> Tensor<1>;

/// Forward and backward; the gradients are read, so that nothing stays in a device queue.
fn step(form: Form, views: &[Tensor<2>; 2]) -> f32 {
    let loss = form(views[0].clone(), views[1].clone(), TEMPERATURE);
    let value = loss.clone().into_scalar::<f32>();
    let gradients = loss.backward();
    for view in views {
        view.grad(&gradients).expect("the views are leaves").sum().into_scalar::<f32>();
    }
    value
}

/// NT-Xent with Burn's own derivatives.
fn whole(z1: Tensor<2>, z2: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, _] = z1.dims();
    let (z1, z2) = (l2_normalize(z1, NORMALIZE_EPS), l2_normalize(z2, NORMALIZE_EPS));
    let positive = (z1.clone() * z2.clone()).sum_dim(1).repeat(&[2, 1]);
    let own = Tensor::<2>::eye(batch, &z1.device().inner()).mul_scalar(-1e9);
    let within_1 = z1.clone().matmul(z1.clone().transpose()) + own.clone();
    let within_2 = z2.clone().matmul(z2.clone().transpose()) + own.clone();
    let across = z1.matmul(z2.transpose()) + own;
    let first = Tensor::cat(vec![across.clone(), within_1], 1);
    let second = Tensor::cat(vec![across.transpose(), within_2], 1);
    let logits = Tensor::cat(vec![positive, Tensor::cat(vec![first, second], 0)], 1).div_scalar(temperature);
    log_softmax(logits, 1).narrow(1, 0, 1).mean().neg()
}

/// Deterministic pseudo-random embeddings.
fn leaf(batch: usize, dim: usize, seed: f64, device: &Device) -> Tensor<2> {
    let value = |place: usize| ((place as f64 * 0.618 + seed) * (1.0 + place as f64 % 7.3)).sin() as f32;
    let values = (0..batch * dim).map(value).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, [batch, dim]), &device.clone().autodiff())
        .require_grad()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// A line of `/proc/self/status`, in MiB.
fn status(name: &str) -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("the kernel tells no memory")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("the kernel tells no memory")?.parse()?;
    Ok(kib / 1024.0)
}
