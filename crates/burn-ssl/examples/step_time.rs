//! Seconds per training step: forward, backward and SGD on views made once. `cargo xtask bench step` runs it.
//!
//! `cargo run --release -p burn-ssl --example step_time -- --model resnet18 --width 16 --batch 64 --device flex`
//! prints one JSON object.

mod measure;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use burn_ssl::core::frozen::Frozen;
use burn_ssl::core::{Mask, MaskKind, Needs};
use burn_ssl::encoders::Family;
use burn_ssl::prelude::*;
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::{Gradients, Optimizer, OptimizerConfig, Rates};
use serde_json::{Value, json};

const RATES: Rates = Rates { lr: 0.06, lr_1d: 0.06, lr_constant: 0.06, weight_decay: 5e-4 };

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let options = Options::from_command_line()?;
    let spec = options.device.parse::<DeviceSpec>()?;
    let device = spec.open()?;
    options.small().measure(&device)?;
    let mut result = options.measure(&device)?;
    result["device"] = options.device.clone().into();
    result["vectors"] = spec.vectors().into();
    result["method"] = options.method.clone().into();
    measure::print(&result);
    Ok(())
}

#[derive(Clone)]
struct Options {
    method: String,
    model: String,
    width: usize,
    image_size: usize,
    patch_size: usize,
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
            patch_size: given.number("patch-size", 16)?,
            batch: given.number("batch", 64)?,
            device: given.text("device", "flex"),
            steps: given.number("steps", 5)?,
            warmup: given.number("warmup", 2)?,
        };
        given.finish()?;
        Ok(options)
    }

    /// One step of small images, which loads the code. Methods with large heads would leave memory to the pool.
    fn small(&self) -> Self {
        let width = if self.family() == Some(Family::Vit) { self.width } else { 8 };
        Self { method: "simclr".into(), width, batch: 2, steps: 1, warmup: 0, ..self.clone() }
    }

    fn encoder(&self) -> EncoderConfig {
        let named = EncoderConfig::named(&self.model);
        match self.family() {
            Some(Family::Vit) => {
                EncoderConfig { width: self.width, patch_size: Some(self.patch_size), ..named }
            }
            // Twice as wide in each stage, as all published ones.
            Some(Family::ConvNext) => {
                EncoderConfig { dims: Some([0, 1, 2, 3].map(|stage| self.width << stage)), ..named }
            }
            _ => EncoderConfig { width: self.width, ..named },
        }
    }

    fn family(&self) -> Option<Family> {
        EncoderConfig::named(&self.model).family()
    }

    fn measure(&self, device: &Device) -> Result<Value> {
        let timing = Timing { device: device.clone(), options: self };
        with_method(&self.method, &Default::default(), timing)?
    }
}

struct Timing<'a> {
    device: Device,
    options: &'a Options,
}

impl WithMethod<AnyEncoder> for Timing<'_> {
    type Output = Result<Value>;

    fn run<M: SslMethod<AnyEncoder>>(self, mut method: M) -> Result<Value> {
        if method.needs().teacher {
            let mut init = Init::new(1, &self.device);
            let teacher = self.options.encoder().init(self.options.image_size, &mut init)?;
            method.learn_from(Arc::new(Frozen::new(teacher)));
        }
        let views = self.views(method.needs());
        let memory = measure::Memory::start();
        let mut seconds = self.steps(&method, &views)?;
        let mut result = json!({ "step_seconds": seconds.split_off(self.options.warmup) });
        memory.add_to(&mut result);
        Ok(result)
    }
}

impl Timing<'_> {
    /// Seconds of the first steps of a new model.
    fn steps<M: SslMethod<AnyEncoder>>(&self, method: &M, views: &Views) -> Result<Vec<f64>> {
        let options = self.options;
        let mut init = Init::new(0, &self.device.clone().autodiff());
        let mask_token = method.needs().masks.map(|_| true);
        let encoder = EncoderConfig { mask_token, ..options.encoder() };
        let encoder = encoder.init(options.image_size, &mut init)?;
        let (mut student, mut state) = method.init(encoder, &mut init);
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let mut seconds = Vec::new();
        for index in 0..options.warmup + options.steps {
            let at = Progress { step: index as u64, total_steps: 1000, steps_per_epoch: 100 };
            let start = Instant::now();
            (student, state) = method.before_step(student, state, at);
            let step = method.loss(&student, &state, views, &StepContext::new(0, at, 0));
            let gradients = Gradients::of(step.loss.backward(), &student);
            state = method.absorb(state, step.carry);
            student = optimizer.step(student, gradients, RATES, &method.gradient_rules(at));
            state = method.after_step(&student, state, at);
            self.device.sync().expect("the device finishes its work");
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    fn views(&self, needs: Needs) -> Views {
        let count = needs.global_views;
        let batch = self.options.batch;
        let shape = [batch, 3, self.options.image_size, self.options.image_size];
        let crop = |view: usize| measure::random(shape, view as u64, &self.device);
        let labels = (0..batch as i64).map(|i| i % 10).collect::<Vec<_>>();
        let labels = Tensor::from_data(TensorData::new(labels, [batch]), &self.device);
        let masks = needs.masks.map(|kind| vec![Some(self.mask(kind)); count]).unwrap_or_default();
        Views { labels: Some(labels), masks, ..Views::new((0..count).map(crop).collect(), count) }
    }

    /// A mask that keeps every fourth patch, hides every third one of every second image, or has every second one as its context and
    /// four blocks of a sixth of the others.
    fn mask(&self, kind: MaskKind) -> Mask {
        let (batch, device) = (self.options.batch, &self.device);
        let patches = (self.options.image_size / self.options.patch_size).pow(2);
        match kind {
            MaskKind::Keep => {
                let list = |image: usize| (0..patches / 4).map(|place| 4 * place + image % 4).collect();
                let lists: Vec<_> = (0..batch).map(list).collect();
                Mask::keep(&lists, patches, device).expect("a quarter of the patches")
            }
            MaskKind::Predict => {
                let of = |count: usize, place: fn(usize) -> usize| -> Vec<i64> {
                    (0..batch).flat_map(|_| (0..count).map(move |index| place(index) as i64)).collect()
                };
                let (kept, targets) = (patches / 2, (patches / 12).max(1));
                let context = TensorData::new(of(kept, |index| 2 * index), [batch, kept]);
                let blocks =
                    TensorData::new(of(4 * targets, |index| 2 * (index / 4) + 1), [batch, 4, targets]);
                let context = Tensor::from_data(context, device);
                Mask::Predict { context, targets: Tensor::from_data(blocks, device) }
            }
            MaskKind::Replace => {
                let hidden =
                    |image: usize| (0..patches).map(move |patch| image.is_multiple_of(2) && patch % 3 == 0);
                let hidden: Vec<_> = (0..batch).flat_map(hidden).collect();
                Mask::Replace(Tensor::from_data(TensorData::new(hidden, [batch, patches]), device))
            }
        }
    }
}
