//! Seconds per training step: forward, backward and SGD on views made once. `cargo xtask bench step` runs it.
//!
//! `cargo run --release -p burn-ssl --example step_time -- --model resnet18 --width 16 --batch 64 --device flex`
//! prints one JSON object.

mod measure;

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use burn_ssl::prelude::*;
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::{Gradients, Optimizer, OptimizerConfig, Rates};

const RATES: Rates = Rates { lr: 0.06, lr_1d: 0.06, lr_constant: 0.06, weight_decay: 5e-4 };

fn main() -> Result<()> {
    let options = Options::from_command_line()?;
    let device = options.device.parse::<DeviceSpec>()?.open()?;
    let mut init = Init::new(0, &device.clone().autodiff());
    let config = EncoderConfig { width: options.width, ..EncoderConfig::named(&options.model) };
    let encoder = config.init(options.image_size, &mut init)?;
    let method = options.method.clone();
    let seconds =
        with_method(&method, &Default::default(), Timing { encoder, init, device, options: &options })?;
    measure::print(&serde_json::json!({
        "step_seconds": seconds,
        "peak_memory_bytes": measure::peak_memory(),
        "device": options.device,
        "method": method,
    }));
    Ok(())
}

struct Options {
    method: String,
    model: String,
    width: usize,
    image_size: usize,
    batch: usize,
    device: String,
    steps: usize,
    warmup: usize,
}

impl Options {
    fn from_command_line() -> Result<Self> {
        let mut given = measure::Options::from_command_line()?;
        let options = Self {
            method: given.text("method", "simclr"),
            model: given.text("model", "resnet18"),
            width: given.number("width", 16)?,
            image_size: given.number("image-size", 32)?,
            batch: given.number("batch", 64)?,
            device: given.text("device", "flex"),
            steps: given.number("steps", 5)?,
            warmup: given.number("warmup", 2)?,
        };
        given.finish()?;
        Ok(options)
    }
}

struct Timing<'a> {
    encoder: AnyEncoder,
    init: Init,
    device: Device,
    options: &'a Options,
}

impl WithMethod for Timing<'_> {
    type Output = Vec<f64>;

    fn run<M: SslMethod<Encoder = AnyEncoder>>(mut self, method: M) -> Vec<f64> {
        let (mut student, mut state) = method.init(self.encoder, &mut self.init);
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let views = views(self.options, method.needs().global_views, &self.device);
        let mut seconds = Vec::new();
        for index in 0..self.options.warmup + self.options.steps {
            let at = Progress { step: index as u64, total_steps: 1000, steps_per_epoch: 100 };
            let start = Instant::now();
            (student, state) = method.before_step(student, state, at);
            let step = method.loss(&student, &state, &views, &StepContext::new(0, at, 0));
            let gradients = Gradients::of(step.loss.backward(), &student);
            state = method.absorb(state, step.carry);
            student = optimizer.step(student, gradients, RATES, &method.gradient_rules(at));
            state = method.after_step(&student, state, at);
            self.device.sync().expect("the device finishes its work");
            if index >= self.options.warmup {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        seconds
    }
}

fn views(options: &Options, count: usize, device: &Device) -> Views {
    let shape = [options.batch, 3, options.image_size, options.image_size];
    let crop = |view: usize| measure::random(shape, view as u64, device);
    let labels = (0..options.batch as i64).map(|i| i % 10).collect::<Vec<_>>();
    let labels = Tensor::from_data(TensorData::new(labels, [options.batch]), device);
    Views { crops: (0..count).map(crop).collect(), global: count, labels: Some(labels) }
}
