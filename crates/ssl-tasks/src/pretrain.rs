//! Pretraining: from a recipe to a run directory.

mod banner;
mod checks;
mod masks;
mod report;
mod resume;
mod teacher;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Group, Init, MethodRules, Needs, Progress, SslMethod, TokenEncoder,
};
use ssl_data::{DataError, LoaderConfig, TrainLoader};
use ssl_encoders::{AnyEncoder, weights};
use ssl_eval::Embedder;
use ssl_train::{
    ChangedData, Existing, Observer, RunDir, Start, TrainConfig, TrainError, Trainer, needs_of_views,
};
use toml::Table;
use tracing::{info, warn};

use banner::Banner;
use checks::Checks;
pub use report::Report;
use resume::Resumed;
use teacher::RunTeacher;
pub use verdict::{Learned, Verdict};
pub(crate) use verdict::{is_above, standard_error};

use crate::baselines::Baselines;
use crate::compare::History;
use crate::doctor::{Doctor, Setting, Watched};
use crate::encoder::initial;
use crate::first::in_first;
use crate::html::Ended;
use crate::images::RunData;
use crate::memory::{self, Estimate, Machine};
use crate::methods::{Methods, WithMethod, options_of};
use crate::preparation::EVAL_BATCH;
use crate::recipe::RecipeError;
use crate::self_check::SelfCheck;
use crate::{Error, Recipe, html, provenance, sheet};

/// The sheet of views in the directory of a run.
pub(crate) const SHEET: &str = "views.png";
/// Images on that sheet.
const SHEET_ROWS: usize = 10;

/// Directory and device of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PretrainOptions {
    /// The run directory.
    pub out: PathBuf,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// Whether an earlier run in that directory may be removed. Default: no.
    pub overwrite: bool,
    /// Whether to resume the run in that directory. Default: no.
    pub resume: bool,
    /// Whether a run continues if its images have changed since it began. Default: no.
    pub accept_changed_data: bool,
    /// Whether a page about the run, `report.html`, is written at its end. Default: yes.
    pub report: bool,
    /// What the recipe is called, for the report. Default: nothing.
    pub recipe_name: Option<String>,
    /// The processes that train together; the first one writes the directory, which all have to see. Default: this one alone.
    pub group: Group,
    /// Lines to log before the first step, such as which recipe this is and why. Default: none.
    pub notes: Vec<String>,
}

impl PretrainOptions {
    /// A new run in the directory `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            device: DeviceSpec::Flex,
            overwrite: false,
            resume: false,
            accept_changed_data: false,
            report: true,
            recipe_name: None,
            group: Group::default(),
            notes: Vec::new(),
        }
    }
}

/// Pretrains an encoder and writes the run directory: `recipe.toml`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`, a sheet of
/// some images and their views (`views.png`) and, at the end, `encoder.safetensors` and a page about the run (`report.html`).
///
/// Everything that can be checked is checked before the directory is created. A run stopped by the observer leaves a
/// checkpoint. With [`resume`](PretrainOptions::resume) it continues; on the CPU it ends with the same bytes as an
/// uninterrupted run. If the recipe then has other epochs or another number of steps than the run, its length changes from the
/// current step on: see [`ScheduleConfig::span`](ssl_train::ScheduleConfig::span). Other keys must be those of the run, except
/// for `data.workers`, `eval` and `checkpoint`.
///
/// # Errors
/// If the recipe, the images, the device or the directory cannot be used.
pub fn pretrain(
    methods: &impl Methods,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut impl Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved_by(methods)?;
    pretrain_known(methods, recipe, options, built_in, observer)
}

/// Pretrains with a method of the registry.
fn pretrain_known<E, F, O>(
    methods: &impl Methods,
    mut recipe: Recipe,
    options: &PretrainOptions,
    make: F,
    observer: &mut O,
) -> Result<Report, Error>
where
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
    O: Observer,
{
    let name = recipe.method.clone();
    let defaults = methods.resolve(&name, &Table::new())?;
    let needs = methods.with::<AnyEncoder, _>(&name, &recipe.method_options, AskNeeds)?;
    let teacher = RunTeacher::find(methods, &mut recipe, &needs, options)?;
    let method_options = recipe.method_options.clone();
    let run = Pretraining::open(recipe, defaults, teacher, options, make, observer)?;
    methods.with(&name, &method_options, run)?
}

/// Asks a method for its needs.
struct AskNeeds;

impl WithMethod<AnyEncoder> for AskNeeds {
    type Output = Needs;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Needs {
        method.needs()
    }
}

/// [`pretrain`] with a custom method. Its recipe can give it any name that no built-in method has, and sets fields of its
/// configuration under `[method_options]`.
///
/// `defaults` is the configuration that the options of the recipe override; `build` turns the result into the method. The
/// run directory is like any other: the run can be resumed, evaluated and exported.
///
/// # Errors
/// Those of [`pretrain`], and if a built-in method has that name.
pub fn pretrain_with<C, M>(
    methods: &impl Methods,
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
    let unset = options_of(&defaults)?;
    let (mut recipe, config) = recipe.clone().resolved_with(defaults, methods)?;
    let method = build(&config).map_err(RecipeError::method_option)?;
    let teacher = RunTeacher::find(methods, &mut recipe, &method.needs(), options)?;
    Pretraining::open(recipe, unset, teacher, options, built_in, observer)?.run(method)
}

/// [`pretrain`] with a custom encoder, under a `name` that no built-in model has. The recipe's `[encoder]` is ignored.
///
/// `encoder` builds the network on the device of the `Init` and draws its initial values from it; it is called again when a
/// run is resumed. The run directory has everything that any other has. `encoder.safetensors` names tensors by the paths of
/// the network's fields; [`load_encoder`](crate::load_encoder) reads it back, and
/// [`embed_images_with`](crate::embed_images_with) uses it.
///
/// # Errors
/// Those of [`pretrain`], and if a built-in model has that name.
pub fn pretrain_encoder<E: Encoder>(
    methods: &impl Methods,
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut impl Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved_for_encoder(name, methods)?;
    pretrain_known(methods, recipe, options, |_: &Recipe, init: &mut Init| Ok(encoder(init)), observer)
}

/// The encoder that a recipe describes.
fn built_in(recipe: &Recipe, init: &mut Init) -> Result<AnyEncoder, Error> {
    initial(&recipe.encoder, recipe.data.image_size, init)
}

/// What to do if the images have changed.
pub(crate) fn changed_data(accept: bool) -> ChangedData {
    if accept { ChangedData::Accept } else { ChangedData::Refuse }
}

/// What to do with an earlier run in the directory.
pub(crate) fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Replace } else { Existing::Refuse }
}

/// Where training begins.
pub(crate) fn start(resume: bool) -> Start {
    if resume { Start::Resume } else { Start::New }
}

struct Pretraining<'a, O, F> {
    recipe: Recipe,
    /// The defaults of the method's options.
    defaults: Table,
    /// The network that the method learns from, if it learns from one.
    teacher: Option<RunTeacher>,
    options: &'a PretrainOptions,
    device: Device,
    data: RunData,
    /// Builds the encoder of a recipe.
    make: F,
    observer: &'a mut O,
}

impl<'a, O, F> Pretraining<'a, O, F> {
    /// The device and the images of a resolved recipe.
    fn open(
        recipe: Recipe,
        defaults: Table,
        teacher: Option<RunTeacher>,
        options: &'a PretrainOptions,
        make: F,
        observer: &'a mut O,
    ) -> Result<Self, Error> {
        let device = options.device.open()?;
        let data = RunData::open(&recipe)?;
        Ok(Self { recipe, defaults, teacher, options, device, data, make, observer })
    }
}

impl<E, O, F> WithMethod<E> for Pretraining<'_, O, F>
where
    E: Encoder,
    O: Observer,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    type Output = Result<Report, Error>;

    fn run<M: SslMethod<E>>(mut self, mut method: M) -> Result<Report, Error> {
        let resumed = self.resumed()?;
        self.check(&method)?;
        if let Some(teacher) = &self.teacher {
            method.learn_from(teacher.network());
        }
        let estimate = self.memory(&method)?;
        let mut init = Init::new(self.recipe.seed, &self.device.clone().autodiff());
        init = init.with_precision(self.recipe.precision);
        let (this, encoder) = self.with_encoder(&mut init, resumed.as_ref())?;
        let loader = this.loader(&encoder, &method.needs())?;
        let fits = method.check(&encoder, this.recipe.train_config().micro_batch());
        fits.map_err(RecipeError::MethodOption)?;
        let mut checks = this.checks(&method, resumed.as_ref())?;
        let text = this.recipe.to_toml()?;
        let (group, config) = (&this.options.group, this.recipe.train_config());
        let made = in_first(group, || {
            let run = this.run_dir(resumed.as_ref())?;
            this.write_recipe(&run, &text, resumed.as_ref(), || {
                trainer(&method, &config, &run, &this.device, this.options, &text).check_resume(&loader)
            })?;
            if resumed.is_none() {
                this.draw_views(&run);
            }
            Ok(run)
        })?;
        let run = made.map_or_else(|| RunDir::open(&this.options.out), Ok)?;
        let trainer = trainer(&method, &config, &run, &this.device, this.options, &text);
        this.announce(&encoder, &loader, estimate.as_ref());
        let start = start(this.options.resume);
        let mut evaluate = |encoder: &E, at: Progress| Ok(checks.of(encoder, at.step)?);
        let setting = Setting::of(&this.recipe, &this.defaults, &method, this.data.train.len());
        let mut observer = Watched::new(this.observer, Doctor::new(setting), &run);
        let mut trained = trainer.fit(encoder, &loader, start, &mut evaluate, &mut observer)?;
        if trained.summary.finished {
            let encoder = method.encoder(&trained.student, &trained.state).valid();
            if trained.summary.evaluation.is_empty() {
                // The run had already reached its last step when it was resumed.
                let metrics = checks.of(&encoder, trained.summary.steps)?.into_iter();
                trained.summary.evaluation = metrics.map(|(name, value)| (name.to_owned(), value)).collect();
            }
            in_first(group, || {
                let artifact = provenance::artifact(&this.recipe, &this.data.train, &trained.summary);
                run.check_there()?;
                Ok(weights::save(&encoder, &run.encoder(), &artifact)?)
            })?;
            if group.rank() == 0 {
                let scale = method.loss_scale(config.micro_batch());
                let (summary, device) = (&trained.summary, &this.device);
                let (recipe, data, options) = (&this.recipe, &this.data, this.options);
                Ended { run: &run, recipe, data, encoder: &encoder, device, summary, scale, options }
                    .write_report();
            }
        }
        let scale = method.loss_scale(config.micro_batch());
        let report = Report::new(&this.recipe, this.options, &trained.summary);
        Ok(Report {
            expected_mem: estimate.map(|found| found.bytes() as u64),
            knn_images: this.data.evaluation.as_ref().map(|sets| sets.test.len() as u64),
            verdict: trained.summary.finished.then(|| Verdict::of(&trained.summary, scale)).flatten(),
            ..report
        })
    }
}

fn trainer<'t, M: MethodRules>(
    method: &'t M,
    config: &'t TrainConfig,
    run: &'t RunDir,
    device: &'t Device,
    options: &PretrainOptions,
    recipe: &str,
) -> Trainer<'t, M> {
    Trainer::new(method, config, run, device)
        .with_recipe(recipe)
        .with_changed_data(changed_data(options.accept_changed_data))
        .with_group(options.group.clone())
}

impl<'a, O, F> Pretraining<'a, O, F> {
    /// The initial encoder, on the device of `init`. The weights of a checkpoint replace those that the run started from,
    /// whose file may be gone.
    fn with_encoder<E>(
        self,
        init: &mut Init,
        resumed: Option<&Resumed>,
    ) -> Result<(Pretraining<'a, O, ()>, E), Error>
    where
        F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
    {
        let Self { recipe, defaults, teacher, options, device, data, make, observer } = self;
        let encoder = make(&resume::started_from(&recipe, resumed), init)?;
        Ok((Pretraining { recipe, defaults, teacher, options, device, data, make: (), observer }, encoder))
    }

    fn checks(&self, method: &impl MethodRules, resumed: Option<&Resumed>) -> Result<Checks, Error> {
        let sets = self.data.evaluation.as_ref();
        let at = Embedder::on(&self.device).in_group(&self.options.group);
        let history = resumed.map(|resumed| History::read(resumed.run(), None)).transpose()?;
        Ok(Checks {
            labelled: sets.map(|sets| self.recipe.evaluation(sets, &at)).transpose()?,
            own: SelfCheck::new(&self.recipe, &self.data.train, method.needs().labels, &at)?,
            image_size: self.recipe.data.image_size,
            baselines: history.map(|rows| Baselines::of(|name| rows.untrained(name))).unwrap_or_default(),
        })
    }

    /// Checks that recipe and images fit the method.
    fn check(&self, method: &impl MethodRules) -> Result<(), Error> {
        self.recipe.precision.check(&self.device)?;
        let (needs, views) = (method.needs(), self.recipe.views()?);
        let (found, expected) = (views.len(), needs.global_views);
        needs_of_views(&needs, found)?;
        masks::check(&self.recipe, &needs)?;
        let sizes: Vec<usize> = (0..found).map(|view| views.size(view)).collect();
        let (global, local) = sizes.split_at(expected);
        if global.iter().any(|size| *size != global[0]) || local.iter().any(|size| *size > global[0]) {
            return Err(Error::ViewSizes { views: expected, sizes });
        }
        let config = self.recipe.train_config();
        config.check_method(method)?;
        config.check_share(self.options.group.size())?;
        if needs.labels && self.data.train.labels().is_none() {
            return Err(TrainError::Labels.into());
        }
        let (batch_size, images) = (self.recipe.schedule.batch_size, self.data.train.len());
        if batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size, images }.into());
        }
        Ok(())
    }

    /// The loader, with masks if the recipe has any.
    fn loader(&self, encoder: &impl Encoder, needs: &Needs) -> Result<TrainLoader, Error> {
        let (batch_size, group) = (self.recipe.train_config().micro_batch(), &self.options.group);
        let config = LoaderConfig { batch_size, workers: self.recipe.data.worker_threads() };
        let (views, data) = (self.recipe.views()?, Arc::clone(&self.data.train));
        let tokens = encoder.tokens();
        if (needs.tokens || needs.masks.is_some()) && tokens.is_none() {
            return Err(TrainError::Tokens(self.recipe.encoder.name.clone()).into());
        }
        let sizes: Vec<usize> = (0..views.len()).map(|view| views.size(view)).collect();
        let patch = tokens.map_or(1, TokenEncoder::patch_size);
        if let Some(view) = sizes.iter().position(|size| !size.is_multiple_of(patch)) {
            return Err(Error::ViewPatches { view, size: sizes[view], patch });
        }
        let loader = TrainLoader::new(data, views, self.recipe.seed, config)?;
        let loader = loader.with_share(group.rank(), group.size())?;
        match (&self.recipe.mask, tokens) {
            (Some(mask), Some(tokens)) => {
                let grids: Vec<_> = sizes.into_iter().map(|size| tokens.patch_grid([size; 2])).collect();
                Ok(loader.with_masks(mask.clone(), &grids).map_err(RecipeError::from)?)
            }
            _ => Ok(loader),
        }
    }

    /// The expected memory of a run on the CPU, if anything is known of its encoder.
    fn memory(&self, method: &impl MethodRules) -> Result<Option<Estimate>, Error> {
        let device = self.options.device;
        if !matches!(device, DeviceSpec::Flex | DeviceSpec::Tch) {
            return Ok(None);
        }
        let images = &self.data.train;
        let evaluated = self.data.evaluation.as_ref().map_or(0, |sets| sets.bank.len().min(EVAL_BATCH));
        let teacher = self.teacher.as_ref().and_then(RunTeacher::footprint);
        let mut recipe = self.recipe.clone();
        recipe.schedule.batch_size = recipe.schedule.batch_size.div_ceil(self.options.group.size());
        let run = memory::Run { recipe: &recipe, method, images, evaluated, teacher };
        let found = memory::of_run(&run)?;
        if let (Some(found), Some(machine)) = (&found, Machine::this()) {
            found.check(&machine)?;
        }
        Ok(found)
    }

    /// Writes the sheet of views, without which a run goes on.
    fn draw_views(&self, run: &RunDir) {
        let out = run.path().join(SHEET);
        match sheet::write(&self.data.train, &self.recipe, SHEET_ROWS, &out, true) {
            Ok(_) => html::show_views(run, &out),
            Err(error) => warn!("no sheet of views: {error}"),
        }
    }

    fn announce(&self, encoder: &impl Encoder, loader: &TrainLoader, memory: Option<&Estimate>) {
        let steps_per_epoch = loader.batches_per_epoch() as u64 / self.recipe.train.accumulate as u64;
        let (parameters, features) = (Module::num_params(encoder), encoder.feature_dim());
        info!("images: {}", self.data.train);
        self.options.notes.iter().for_each(|note| info!("{note}"));
        let banner = Banner { steps_per_epoch, parameters, features, memory };
        banner.lines(&self.recipe, self.options).iter().for_each(|line| info!("{line}"));
        let processes = self.options.group.size();
        if processes > 1 {
            let share = self.recipe.schedule.batch_size / processes;
            info!("{processes} processes, each with {share} images of a step; memory is that of one");
        }
        self.teacher.iter().for_each(|teacher| info!("{teacher}"));
        if let Some((memory, machine)) = memory.zip(Machine::this()) {
            memory.shortage(&machine).iter().for_each(|line| warn!("{line}"));
        }
    }
}
