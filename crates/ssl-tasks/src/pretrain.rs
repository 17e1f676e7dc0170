//! Pretraining: from a recipe to a run directory.

mod banner;
mod checks;
mod masks;
mod outside;
mod plan;
mod ready;
mod report;
mod resume;
mod teacher;
mod verdict;

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::Device;
use ssl_core::{DeviceSpec, Encoder, Group, Init, MethodRules, Needs, Progress, SslMethod};
use ssl_data::TrainLoader;
use ssl_encoders::{AnyEncoder, weights};
use ssl_eval::Embedder;
use ssl_train::{ChangedData, Existing, Observer, RunDir, Start, TrainConfig, TrainError, Trained, Trainer};
use toml::Table;
use tracing::{info, warn};

use banner::Banner;
use checks::Checks;
use outside::open_with;
pub use outside::{pretrain_encoder, pretrain_with, pretrain_with_encoder};
pub use plan::{PlanOptions, PlanReport, Planned, plan, plan_encoder, plan_with, plan_with_encoder};
use ready::Ready;
pub use report::Report;
use resume::Resumed;
use teacher::RunTeacher;
pub use verdict::{Learned, Verdict};
pub(crate) use verdict::{is_above, standard_error};

use crate::advice::Severity;
use crate::baselines::Baselines;
use crate::compare::History;
use crate::doctor::{Doctor, Setting, Watched};
use crate::encoder::initial;
use crate::first::in_first;
use crate::html::Ended;
use crate::images::RunData;
use crate::memory::Estimate;
use crate::methods::{Methods, WithMethod};
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
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved_by(methods)?;
    pretrain_known(methods, recipe, options, built_in, observer)
}

/// Pretrains with a method of the registry.
fn pretrain_known<E, F>(
    methods: &impl Methods,
    recipe: Recipe,
    options: &PretrainOptions,
    make: F,
    observer: &mut dyn Observer,
) -> Result<Report, Error>
where
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    let (name, method_options, run) = open_known(methods, recipe, options, make, observer)?;
    methods.with(&name, &method_options, run)?
}

/// A run of a method of the registry, with the name and the options of the method.
fn open_known<'a, F>(
    methods: &impl Methods,
    mut recipe: Recipe,
    options: &'a PretrainOptions,
    make: F,
    observer: &'a mut dyn Observer,
) -> Result<(String, Table, Pretraining<'a, F>), Error> {
    let name = recipe.method.clone();
    let defaults = methods.resolve(&name, &Table::new())?;
    let needs = methods.with::<AnyEncoder, _>(&name, &recipe.method_options, AskNeeds)?;
    let teacher = RunTeacher::find(methods, &mut recipe, &needs, options)?;
    let method_options = recipe.method_options.clone();
    let run = Pretraining::open(recipe, defaults, teacher, options, make, observer)?;
    Ok((name, method_options, run))
}

/// Asks a method for its needs.
struct AskNeeds;

impl WithMethod<AnyEncoder> for AskNeeds {
    type Output = Needs;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Needs {
        method.needs()
    }
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

struct Pretraining<'a, F> {
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
    observer: &'a mut dyn Observer,
}

impl<'a, F> Pretraining<'a, F> {
    /// The device and the images of a resolved recipe.
    fn open(
        recipe: Recipe,
        defaults: Table,
        teacher: Option<RunTeacher>,
        options: &'a PretrainOptions,
        make: F,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, Error> {
        let device = options.device.open()?;
        let data = RunData::open(&recipe)?;
        Ok(Self { recipe, defaults, teacher, options, device, data, make, observer })
    }
}

impl<E, F> WithMethod<E> for Pretraining<'_, F>
where
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    type Output = Result<Report, Error>;

    fn run<M: SslMethod<E>>(self, mut method: M) -> Result<Report, Error> {
        let Ready { this, resumed, estimate, encoder, loader, advice } = self.ready(&mut method)?;
        if let Some(advice) = advice.iter().find(|advice| advice.severity == Severity::CannotWork) {
            return Err(Error::CannotWork(advice.clone().into()));
        }
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
        advice.iter().for_each(|advice| warn!("{}: {advice}", advice.severity));
        let start = start(this.options.resume);
        let mut evaluate = |encoder: &E, at: Progress| Ok(checks.of(encoder, at.step)?);
        let setting = Setting::of(&this.recipe, &this.defaults, &method, this.data.train.len());
        let on_collapse = this.recipe.train.on_collapse;
        let mut observer = Watched::new(this.observer, Doctor::new(setting), &run, on_collapse);
        let fitted = trainer.fit(encoder, &loader, start, &mut evaluate, &mut observer);
        if ended_early(&fitted) && group.rank() == 0 {
            html::write_unfinished(&run, this.options);
        }
        let mut trained = fitted?;
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

/// Whether a run ended before its last step, for a reason that its rows tell.
fn ended_early<S, T>(fitted: &Result<Trained<S, T>, TrainError>) -> bool {
    match fitted {
        Ok(trained) => !trained.summary.finished,
        Err(error) => matches!(
            error,
            TrainError::Collapsed { .. } | TrainError::NotFinite { .. } | TrainError::WeightsNotFinite { .. }
        ),
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

impl<F> Pretraining<'_, F> {
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

    fn steps_per_epoch(&self, loader: &TrainLoader) -> u64 {
        loader.batches_per_epoch() as u64 / self.recipe.train.accumulate as u64
    }

    /// What the run is, in lines.
    fn banner(&self, encoder: &impl Encoder, loader: &TrainLoader, memory: Option<&Estimate>) -> Vec<String> {
        let steps_per_epoch = self.steps_per_epoch(loader);
        let (parameters, features) = (Module::num_params(encoder), encoder.feature_dim());
        let banner = Banner { steps_per_epoch, parameters, features, memory };
        let mut lines = banner.lines(&self.recipe, self.options);
        let processes = self.options.group.size();
        if processes > 1 {
            let share = self.recipe.schedule.batch_size / processes;
            lines.push(format!(
                "{processes} processes, each with {share} images of a step; memory is that of one"
            ));
        }
        lines
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
        info!("images: {}", self.data.train);
        self.options.notes.iter().for_each(|note| info!("{note}"));
        self.banner(encoder, loader, memory).iter().for_each(|line| info!("{line}"));
        self.teacher.iter().for_each(|teacher| info!("{teacher}"));
    }
}
