//! Pretraining: from a recipe to a run directory.

mod hooks;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Init, SslMethod};
use ssl_data::{DataError, LoaderConfig, TrainLoader};
use ssl_encoders::{AnyEncoder, weights};
use ssl_train::{RunDir, TrainError, Trainer};
use toml::Table;
use tracing::info;

pub use hooks::{NoObserver, Observer};
pub use report::Report;

use crate::evaluation::Evaluation;
use crate::export::metadata;
use crate::images::RunData;
use crate::recipe::{Draft, RecipeError};
use crate::registry::{WithMethod, resolve_options, table, with_method};
use crate::{Error, Recipe};
use hooks::RunHooks;

/// Where a run goes and what it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainOptions {
    /// The run directory.
    pub out: PathBuf,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// Whether an earlier run in that directory may be removed. Default no.
    pub overwrite: bool,
    /// Whether to go on with the run in that directory. Default no.
    pub resume: bool,
}

impl PretrainOptions {
    /// A new run in the directory `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), device: DeviceSpec::Flex, overwrite: false, resume: false }
    }
}

/// Pretrains an encoder and writes the run directory: `recipe.toml`, `metrics.jsonl`, `checkpoints/` and, at the end,
/// `encoder.safetensors`.
///
/// Everything that can be checked is checked before the directory is made. A run that the observer stops leaves a
/// checkpoint; with [`resume`](PretrainOptions::resume) it goes on, on the CPU to the same bytes as an uninterrupted
/// one.
///
/// # Errors
/// What the recipe, the images, the device or the directory have wrong.
pub fn pretrain(
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut impl Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved()?;
    let (name, method_options) = (recipe.method.clone(), recipe.method_options.clone());
    let defaults = resolve_options(&name, &Table::new())?;
    with_method(&name, &method_options, Pretraining::open(recipe, defaults, options, observer)?)?
}

/// [`pretrain`] with a method that this build does not have: its recipe names it as its author likes, and sets fields
/// of its configuration under `[method_options]`.
///
/// `defaults` is the configuration without options, and `build` makes the method of the one with them. The run
/// directory is like that of any method, so a run can be resumed, evaluated and exported.
///
/// ```no_run
/// # use burn_ssl::prelude::*;
/// use burn_ssl::simclr::SimClrConfig; // yours, in its place
///
/// let mut recipe = Recipe::named("demo")?;
/// recipe.method = "mine".into();
/// let options = PretrainOptions::new("run");
/// let report = pretrain_with(SimClrConfig::new(), SimClrConfig::build, &recipe, &options, &mut NoObserver)?;
/// # Ok::<(), burn_ssl::Error>(())
/// ```
///
/// # Errors
/// Those of [`pretrain`], and a name that a method of this build has.
pub fn pretrain_with<C, M>(
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut impl Observer,
) -> Result<Report, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<Encoder = AnyEncoder>,
{
    let unset = table(&defaults)?;
    let (recipe, config) = recipe.clone().resolved_with(defaults)?;
    let method = build(&config).map_err(RecipeError::method_option)?;
    Pretraining::open(recipe, unset, options, observer)?.run(method)
}

struct Pretraining<'a, O> {
    recipe: Recipe,
    /// The method's options as they are where a recipe does not set them.
    defaults: Table,
    options: &'a PretrainOptions,
    device: Device,
    data: RunData,
    observer: &'a mut O,
}

impl<'a, O> Pretraining<'a, O> {
    /// The device and the images of a resolved recipe.
    fn open(
        recipe: Recipe,
        defaults: Table,
        options: &'a PretrainOptions,
        observer: &'a mut O,
    ) -> Result<Self, Error> {
        let device = options.device.open()?;
        let data = RunData::open(&recipe)?;
        Ok(Self { recipe, defaults, options, device, data, observer })
    }
}

impl<O: Observer> WithMethod for Pretraining<'_, O> {
    type Output = Result<Report, Error>;

    fn run<M: SslMethod<Encoder = AnyEncoder>>(self, method: M) -> Result<Report, Error> {
        self.check(&method)?;
        let loader = self.loader()?;
        let encoder = self.encoder()?;
        let fits = method.check(&encoder, self.recipe.train_config().micro_batch());
        fits.map_err(RecipeError::MethodOption)?;
        let evaluation = self.data.evaluation.as_ref();
        let evaluation =
            evaluation.map(|data| Evaluation::new(data, &self.recipe, &self.device)).transpose()?;
        let run = self.run_dir()?;
        self.announce(&encoder, &loader);

        let config = self.recipe.train_config();
        let trainer = Trainer { method: &method, config: &config, run: &run, device: &self.device };
        let mut hooks = RunHooks { observer: &mut *self.observer, evaluation };
        let mut trained = trainer.fit(encoder, &loader, self.options.resume, &mut hooks)?;
        if trained.summary.finished {
            let encoder = method.encoder(&trained.student, &trained.state).valid();
            if trained.summary.evaluation.is_empty() {
                // The run had reached its last step before it was resumed.
                let metrics = hooks.metrics(&encoder)?.into_iter();
                trained.summary.evaluation = metrics.map(|(name, value)| (name.to_owned(), value)).collect();
            }
            weights::save(&encoder, &run.encoder(), &metadata(&self.recipe))?;
        }
        Ok(Report::new(&self.recipe, self.options, &trained.summary))
    }
}

impl<O> Pretraining<'_, O> {
    /// What the method needs of recipe and images.
    fn check<M: SslMethod>(&self, method: &M) -> Result<(), Error> {
        self.recipe.precision.check(&self.device)?;
        let (needs, views) = (method.needs(), self.recipe.views()?);
        let (found, expected) = (views.len(), needs.global_views);
        if found < expected || (found > expected && !needs.local_views) {
            let more = if needs.local_views { "at least " } else { "" };
            return Err(TrainError::Views { found, expected: format!("{more}{expected}") }.into());
        }
        let sizes: Vec<usize> = (0..found).map(|view| views.size(view)).collect();
        let (global, local) = sizes.split_at(expected);
        if global.iter().any(|size| *size != global[0]) || local.iter().any(|size| *size > global[0]) {
            return Err(Error::ViewSizes { views: expected, sizes });
        }
        self.recipe.train_config().check_method(method)?;
        if needs.labels && self.data.train.labels().is_none() {
            return Err(TrainError::Labels.into());
        }
        let (batch_size, images) = (self.recipe.schedule.batch_size, self.data.train.len());
        if batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size, images }.into());
        }
        Ok(())
    }

    fn loader(&self) -> Result<TrainLoader, Error> {
        let batch_size = self.recipe.train_config().micro_batch();
        let config = LoaderConfig { batch_size, workers: self.recipe.data.worker_threads() };
        Ok(TrainLoader::new(Arc::clone(&self.data.train), self.recipe.views()?, self.recipe.seed, config)?)
    }

    /// The initial encoder, on the autodiff device.
    fn encoder(&self) -> Result<AnyEncoder, Error> {
        let device = self.device.clone().autodiff();
        let Recipe { encoder, data, seed, precision, .. } = &self.recipe;
        let mut init = Init::new(*seed, &device).with_precision(*precision);
        Ok(encoder.init(data.image_size, &mut init)?)
    }

    /// The directory with the recipe in it.
    fn run_dir(&self) -> Result<RunDir, Error> {
        let text = format!("# The recipe of this run with every key written.\n\n{}", self.recipe.to_toml()?);
        let run = if self.options.resume {
            let run = RunDir::open(&self.options.out)?;
            let mut first = Draft::of_run(run.path())?.finish()?;
            // An option that is younger than the run is at its default there.
            for (key, value) in &self.defaults {
                first.method_options.entry(key).or_insert_with(|| value.clone());
            }
            if let Some((key, there, here)) = Draft::first_difference(&first, &self.recipe) {
                return Err(Error::OtherRecipe { run: self.options.out.clone(), key, there, here });
            }
            run
        } else {
            RunDir::create(&self.options.out, self.options.overwrite)?
        };
        run.write_atomic("recipe.toml", text.as_bytes())?;
        Ok(run)
    }

    fn announce(&self, encoder: &AnyEncoder, loader: &TrainLoader) {
        let Recipe { method, schedule, encoder: config, .. } = &self.recipe;
        let (parameters, dim) = (encoder.num_params() as f64 / 1e6, encoder.feature_dim());
        let steps_per_epoch = loader.batches_per_epoch() as u64 / self.recipe.train.accumulate as u64;
        info!("images: {}", self.data.train);
        info!("{method}, {} with {parameters:.2} million parameters and {dim} features", config.name);
        let (steps, batch) = (schedule.total_steps(steps_per_epoch), schedule.batch_size);
        info!("{steps} steps of {batch} images, {steps_per_epoch} an epoch, on {}", self.options.device);
    }
}
