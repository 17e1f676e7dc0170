//! Pretraining: from a recipe to a run directory.

mod report;

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Init, MethodRules, Needs, Progress, SslMethod};
use ssl_data::{DataError, LoaderConfig, TrainLoader};
use ssl_encoders::{AnyEncoder, weights};
use ssl_eval::EvalError;
use ssl_train::{Evaluation as Metrics, Observer, RunDir, TrainError, Trainer, needs_of_views};
use toml::Table;
use tracing::info;

pub use report::Report;

use crate::evaluation::{EvalScores, Evaluation};
use crate::images::RunData;
use crate::recipe::{Draft, RecipeError};
use crate::registry::{WithMethod, resolve_options, table, with_method};
use crate::{Error, Recipe, provenance};

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
    with_method(&name, &method_options, Pretraining::open(recipe, defaults, options, built_in, observer)?)?
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
    M: SslMethod<AnyEncoder>,
{
    let unset = table(&defaults)?;
    let (recipe, config) = recipe.clone().resolved_with(defaults)?;
    let method = build(&config).map_err(RecipeError::method_option)?;
    Pretraining::open(recipe, unset, options, built_in, observer)?.run(method)
}

/// [`pretrain`] with an encoder that is not one of ours, under a `name` that no model here has; the recipe's `[encoder]`
/// does not count.
///
/// `encoder` makes the network on the device of the `Init`, with its initial values drawn from that; it is called again
/// where a run is resumed. The run directory has all that any other has, and `encoder.safetensors` under the paths of
/// the network's own fields; [`load_encoder`](crate::load_encoder) reads it back, and
/// [`embed_images_with`](crate::embed_images_with) uses it.
///
/// ```no_run
/// # use burn_ssl::prelude::*;
/// # use burn_ssl::encoders::{ResNet, ResNetConfig};
/// fn small_net(init: &mut Init) -> ResNet {
///     ResNetConfig::resnet18().with_width(8).init(init) // yours, in its place
/// }
///
/// let mut recipe = Recipe::named("demo")?;
/// let options = PretrainOptions::new("run");
/// let report = pretrain_encoder("small-net", small_net, &recipe, &options, &mut NoObserver)?;
/// # Ok::<(), burn_ssl::Error>(())
/// ```
///
/// # Errors
/// Those of [`pretrain`], and a name that a model here has.
pub fn pretrain_encoder<E: Encoder>(
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut impl Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved_for_encoder(name)?;
    let (method, method_options) = (recipe.method.clone(), recipe.method_options.clone());
    let defaults = resolve_options(&method, &Table::new())?;
    let make = |_: &Recipe, init: &mut Init| Ok(encoder(init));
    with_method(&method, &method_options, Pretraining::open(recipe, defaults, options, make, observer)?)?
}

/// The metrics of an encoder, which the log gets too; none without a set to evaluate on.
fn evaluated(
    evaluation: Option<&Evaluation>,
    encoder: &impl Encoder,
    at: Progress,
) -> Result<Metrics, EvalError> {
    let Some(found) = evaluation.map(|evaluation| evaluation.of(encoder)).transpose()? else {
        return Ok(Metrics::new());
    };
    let EvalScores { top1, top5, rankme } = found;
    info!("step {}: k-NN top-1 {top1:.2} %, top-5 {top5:.2} %, RankMe {rankme:.1}", at.step);
    Ok(found.metrics())
}

/// The encoder that a recipe describes.
fn built_in(recipe: &Recipe, init: &mut Init) -> Result<AnyEncoder, Error> {
    Ok(recipe.encoder.init(recipe.data.image_size, init)?)
}

struct Pretraining<'a, O, F> {
    recipe: Recipe,
    /// The method's options as they are where a recipe does not set them.
    defaults: Table,
    options: &'a PretrainOptions,
    device: Device,
    data: RunData,
    /// Makes the encoder of a recipe.
    make: F,
    observer: &'a mut O,
}

impl<'a, O, F> Pretraining<'a, O, F> {
    /// The device and the images of a resolved recipe.
    fn open(
        recipe: Recipe,
        defaults: Table,
        options: &'a PretrainOptions,
        make: F,
        observer: &'a mut O,
    ) -> Result<Self, Error> {
        let device = options.device.open()?;
        let data = RunData::open(&recipe)?;
        Ok(Self { recipe, defaults, options, device, data, make, observer })
    }
}

impl<E, O, F> WithMethod<E> for Pretraining<'_, O, F>
where
    E: Encoder,
    O: Observer,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    type Output = Result<Report, Error>;

    fn run<M: SslMethod<E>>(self, method: M) -> Result<Report, Error> {
        self.check(&method)?;
        let mut init = Init::new(self.recipe.seed, &self.device.clone().autodiff());
        init = init.with_precision(self.recipe.precision);
        let (this, encoder) = self.with_encoder(&mut init)?;
        let loader = this.loader(&encoder, &method.needs())?;
        let fits = method.check(&encoder, this.recipe.train_config().micro_batch());
        fits.map_err(RecipeError::MethodOption)?;
        let evaluation = this.data.evaluation.as_ref();
        let evaluation = evaluation.map(|data| this.recipe.evaluation(data, &this.device)).transpose()?;
        let run = this.run_dir()?;
        this.announce(&encoder, &loader);

        let config = this.recipe.train_config();
        let trainer = Trainer::new(&method, &config, &run, &this.device);
        let mut evaluate = |encoder: &E, at: Progress| Ok(evaluated(evaluation.as_ref(), encoder, at)?);
        let mut trained = trainer.fit(encoder, &loader, this.options.resume, &mut evaluate, this.observer)?;
        if trained.summary.finished {
            let encoder = method.encoder(&trained.student, &trained.state).valid();
            if trained.summary.evaluation.is_empty() {
                // The run had reached its last step before it was resumed.
                let metrics = evaluation.as_ref().map(|evaluation| evaluation.of(&encoder)).transpose()?;
                let metrics = metrics.map_or_else(Vec::new, |found| found.metrics()).into_iter();
                trained.summary.evaluation = metrics.map(|(name, value)| (name.to_owned(), value)).collect();
            }
            let artifact = provenance::artifact(&this.recipe, &this.data.train, &trained.summary);
            weights::save(&encoder, &run.encoder(), &artifact)?;
        }
        Ok(Report::new(&this.recipe, this.options, &trained.summary))
    }
}

impl<'a, O, F> Pretraining<'a, O, F> {
    /// The initial encoder, on the device of `init`.
    fn with_encoder<E>(self, init: &mut Init) -> Result<(Pretraining<'a, O, ()>, E), Error>
    where
        F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
    {
        let Self { recipe, defaults, options, device, data, make, observer } = self;
        let encoder = make(&recipe, init)?;
        Ok((Pretraining { recipe, defaults, options, device, data, make: (), observer }, encoder))
    }

    /// What the method needs of recipe and images.
    fn check(&self, method: &impl MethodRules) -> Result<(), Error> {
        self.recipe.precision.check(&self.device)?;
        let (needs, views) = (method.needs(), self.recipe.views()?);
        let (found, expected) = (views.len(), needs.global_views);
        needs_of_views(&needs, found)?;
        if needs.masks && self.recipe.mask.is_none() {
            return Err(TrainError::Masks.into());
        }
        if !needs.masks && self.recipe.mask.is_some() {
            return Err(Error::UnusedMask(self.recipe.method.clone()));
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

    /// The loader, with the masks that a method and an encoder of tokens take.
    fn loader(&self, encoder: &impl Encoder, needs: &Needs) -> Result<TrainLoader, Error> {
        let batch_size = self.recipe.train_config().micro_batch();
        let config = LoaderConfig { batch_size, workers: self.recipe.data.worker_threads() };
        let (views, data) = (self.recipe.views()?, Arc::clone(&self.data.train));
        let tokens = encoder.tokens();
        if (needs.tokens || needs.masks) && tokens.is_none() {
            return Err(TrainError::Tokens(self.recipe.encoder.name.clone()).into());
        }
        let sizes: Vec<usize> = (0..views.len()).map(|view| views.size(view)).collect();
        let loader = TrainLoader::new(data, views, self.recipe.seed, config)?;
        match (&self.recipe.mask, tokens) {
            (Some(mask), Some(tokens)) => {
                let grids: Vec<_> = sizes.into_iter().map(|size| tokens.patch_grid([size; 2])).collect();
                Ok(loader.with_masks(mask.clone(), &grids).map_err(RecipeError::from)?)
            }
            _ => Ok(loader),
        }
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

    fn announce(&self, encoder: &impl Encoder, loader: &TrainLoader) {
        let Recipe { method, schedule, encoder: config, .. } = &self.recipe;
        let (parameters, dim) = (Module::num_params(encoder) as f64 / 1e6, encoder.feature_dim());
        let steps_per_epoch = loader.batches_per_epoch() as u64 / self.recipe.train.accumulate as u64;
        info!("images: {}", self.data.train);
        info!("{method}, {} with {parameters:.2} million parameters and {dim} features", config.name);
        let (steps, batch) = (schedule.total_steps(steps_per_epoch), schedule.batch_size);
        info!("{steps} steps of {batch} images, {steps_per_epoch} an epoch, on {}", self.options.device);
    }
}
