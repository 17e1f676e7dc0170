//! Seconds per training step of a recipe: forward, backward and optimizer on views and masks made once. `cargo xtask bench step` runs
//! it.
//!
//! `cargo run --release -p burn-ssl --example step_time -- --recipe simclr/cifar10 --batch 64 --device flex`
//! prints one JSON object. Instead of a name, `--recipe` takes a file.

mod measure;
mod work;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_ssl::core::frozen::Frozen;
use burn_ssl::core::{Mask, Needs};
use burn_ssl::data::{Mask as HostMask, MaskKey, PatchIndices, PatchMask, ViewConfig};
use burn_ssl::prelude::*;
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::{BatchConfig, Gradients, Optimizer, OptimizerConfig, needs_of_views};
use serde_json::{Value, json};

/// Steps of an epoch: the steps are taken from the middle of the run. `xtask/baseline/step.py` has the same number.
const STEPS_PER_EPOCH: u64 = 100;

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let options = Options::from_command_line()?;
    let recipe = options.recipe()?;
    let spec = options.device.parse::<DeviceSpec>()?;
    let device = spec.open()?;
    timed(&small(&recipe), &device, 0, 1)?;
    let mut result = timed(&recipe, &device, options.warmup, options.steps)?;
    result["device"] = options.device.clone().into();
    result["vectors"] = spec.vectors().into();
    result["method"] = recipe.method.clone().into();
    measure::print(&result);
    Ok(())
}

struct Options {
    recipe: String,
    /// Images of a step; 0 means those of the recipe.
    batch: usize,
    device: String,
    steps: usize,
    warmup: usize,
}

impl Options {
    fn from_command_line() -> Result<Self> {
        let mut given = measure::Options::from_command_line()?;
        let options = Self {
            recipe: given.text("recipe", "simclr/cifar10"),
            batch: given.number("batch", 0)?,
            device: given.text("device", "flex"),
            steps: given.number("steps", 5)?,
            warmup: given.number("warmup", 2)?,
        };
        given.finish()?;
        Ok(options)
    }

    fn recipe(&self) -> Result<Recipe> {
        let recipe = work::recipe(&self.recipe, self.batch)?;
        let whole = recipe.train == BatchConfig::default();
        ensure!(whole, "the recipe takes a batch in pieces, expected no section [train]");
        Ok(recipe)
    }
}

/// One step of SimCLR on two images, which loads the code. Methods with large heads would leave memory to the pool.
fn small(recipe: &Recipe) -> Recipe {
    let mut small = recipe.clone();
    small.method = "simclr".to_owned();
    small.method_options.clear();
    small.mask = None;
    small.views = recipe.views.iter().take(1).map(|view| ViewConfig { count: 2, ..view.clone() }).collect();
    small.optimizer = OptimizerConfig::default();
    small.schedule.batch_size = 2;
    small.encoder = work::small(&recipe.encoder);
    small
}

fn timed(recipe: &Recipe, device: &Device, warmup: usize, steps: usize) -> Result<Value> {
    let timing = Timing { device: device.clone(), recipe, warmup, steps };
    with_method(&recipe.method, &recipe.method_options, timing)?
}

struct Timing<'a> {
    device: Device,
    recipe: &'a Recipe,
    warmup: usize,
    steps: usize,
}

impl WithMethod<AnyEncoder> for Timing<'_> {
    type Output = Result<Value>;

    fn run<M: SslMethod<AnyEncoder>>(self, mut method: M) -> Result<Value> {
        if method.needs().teacher {
            let mut init = Init::new(1, &self.device);
            let teacher = self.recipe.encoder.init(self.recipe.data.image_size, &mut init)?;
            method.learn_from(Arc::new(Frozen::new(teacher)));
        }
        let views = self.views(method.needs())?;
        let memory = measure::Memory::start();
        let mut seconds = self.seconds(&method, &views)?;
        let mut result = json!({ "step_seconds": seconds.split_off(self.warmup) });
        memory.add_to(&mut result);
        Ok(result)
    }
}

impl Timing<'_> {
    /// Seconds of the first steps of a new model, in the order of the trainer.
    fn seconds<M: SslMethod<AnyEncoder>>(&self, method: &M, views: &Views) -> Result<Vec<f64>> {
        let recipe = self.recipe;
        let mut init =
            Init::new(recipe.seed, &self.device.clone().autodiff()).with_precision(recipe.precision);
        let encoder = recipe.encoder.init(recipe.data.image_size, &mut init)?;
        method.check(&encoder, views.batch())?;
        let (mut student, mut state) = method.init(encoder, &mut init);
        let mut optimizer = Optimizer::new(recipe.optimizer.clone());
        let mut seconds = Vec::new();
        for index in 0..self.warmup + self.steps {
            let at = self.progress(index as u64);
            let start = Instant::now();
            (student, state) = method.before_step(student, state, at);
            let context = StepContext::new(recipe.seed, at, 0).with_images(views.batch());
            let step = method.loss(&student, &state, views, &context);
            let mut gradients = Gradients::of(step.loss.backward(), &student);
            state = method.absorb(state, step.carry);
            let rules = method.gradient_rules(at);
            gradients.clip(&recipe.optimizer);
            gradients.drop_frozen(&rules);
            let rates = recipe.schedule.rates(&recipe.optimizer, at);
            student = optimizer.step(student, gradients, rates, &rules);
            state = method.after_step(&student, state, at);
            self.device.sync().expect("the device finishes its work");
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    /// A step after the middle of the run, when nothing warms up or is frozen any more.
    fn progress(&self, index: u64) -> Progress {
        let total_steps = self.recipe.schedule.total_steps(STEPS_PER_EPOCH);
        Progress { step: total_steps / 2 + index, total_steps, steps_per_epoch: STEPS_PER_EPOCH }
    }

    fn views(&self, needs: Needs) -> Result<Views> {
        let declared = self.recipe.views()?;
        let sizes: Vec<usize> = (0..declared.len()).map(|view| declared.size(view)).collect();
        needs_of_views(&needs, sizes.len())?;
        let batch = self.recipe.schedule.batch_size;
        let random = |(view, &size): (usize, &usize)| {
            measure::random([batch, 3, size, size], view as u64, &self.device)
        };
        let crops: Vec<Tensor<4>> = sizes.iter().enumerate().map(random).collect();
        let labels: Vec<i64> = (0..batch as i64).map(|image| image % 10).collect();
        let labels = Tensor::from_data(TensorData::new(labels, [batch]), &self.device);
        let masks = self.masks()?;
        let has_masks = needs.masks.is_none() || !masks.is_empty();
        ensure!(has_masks, "{} hides patches, expected a section [mask]", self.recipe.method);
        Ok(Views::new(crops, needs.global_views).with_labels(labels).with_masks(masks))
    }

    /// The masks of the first batch. `cargo xtask bench step` draws the same for PyTorch.
    fn masks(&self) -> Result<Vec<Option<Mask>>> {
        let Some(masks) = self.recipe.masks()? else { return Ok(Vec::new()) };
        let samples: Vec<u64> = (0..self.recipe.schedule.batch_size as u64).collect();
        let drawn = masks.draw(MaskKey { seed: self.recipe.seed, step: 0 }, &samples);
        Ok(drawn.views.iter().map(|mask| mask.as_ref().map(|mask| self.on_device(mask))).collect())
    }

    fn on_device(&self, mask: &HostMask) -> Mask {
        match mask {
            HostMask::Replace(PatchMask { hidden, .. }) => {
                let shape = [mask.len(), hidden.len() / mask.len()];
                Mask::Replace(Tensor::from_data(TensorData::new(hidden.clone(), shape), &self.device))
            }
            HostMask::Keep(kept) => Mask::Keep(self.lists(kept).squeeze_dim(1)),
            HostMask::Predict { context, targets } => {
                let context = self.lists(context).squeeze_dim(1);
                Mask::Predict { context, targets: self.lists(targets) }
            }
        }
    }

    /// `[batch, block, patch]`
    fn lists(&self, indices: &PatchIndices) -> Tensor<3, Int> {
        let shape = [indices.len(), indices.blocks, indices.patches];
        Tensor::from_data(TensorData::new(indices.indices.clone(), shape), &self.device)
    }
}
