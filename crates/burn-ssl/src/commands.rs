//! The commands that need methods by name, with the registry of this build.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, Encoder, Init, SslMethod};
use ssl_encoders::AnyEncoder;
use ssl_tasks::demo::{DemoOptions, DemoReport};
use ssl_tasks::export::{ExportOptions, ExportReport};
use ssl_tasks::{
    AutoOptions, DedupOptions, DedupReport, EmbedOptions, EmbedReport, Error, FinetuneOptions,
    FinetuneReport, HtmlReport, HtmlReportOptions, KnnOptions, KnnReport, LinearOptions, LinearReport,
    Observer, PlanOptions, PlanReport, PretrainOptions, PreviewOptions, PreviewReport, Recipe, Report,
    SegmentOptions, SegmentReport, SimilarOptions, SimilarReport,
};

use crate::recipe::{Draft, NamedRecipe};
use crate::registry::BuiltIn;

/// Pretrains an encoder and writes the run directory: `recipe.toml`, `metrics.jsonl`, `tensorboard/`, `checkpoints/` and, at the
/// end, `encoder.safetensors` and `report.html`.
///
/// Everything that can be checked is checked before the directory is created. A run stopped by the observer leaves a
/// checkpoint. With [`resume`](PretrainOptions::resume) it continues; on the CPU it ends with the same bytes as an
/// uninterrupted run.
///
/// # Errors
/// If the recipe, the images, the device or the directory cannot be used.
pub fn pretrain(
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    ssl_tasks::pretrain(&BuiltIn, recipe, options, observer)
}

/// [`pretrain`] with a custom method. Its recipe can give it any name that no built-in method has, and sets fields of its
/// configuration under `[method_options]`.
///
/// `defaults` is the configuration that the options of the recipe override; `build` turns the result into the method. The
/// run directory is like any other: the run can be resumed, evaluated and exported.
///
/// ```no_run
/// # use burn_ssl::prelude::*;
/// use burn_ssl::simclr::SimClrConfig; // replace with your own
///
/// let mut recipe = Recipe::named("demo")?;
/// recipe.method = "mine".into();
/// let options = PretrainOptions::new("run");
/// let report = pretrain_with(SimClrConfig::new(), SimClrConfig::build, &recipe, &options, &mut NoObserver)?;
/// # Ok::<(), burn_ssl::Error>(())
/// ```
///
/// # Errors
/// Those of [`pretrain`], and if a built-in method has that name.
pub fn pretrain_with<C, M>(
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<AnyEncoder>,
{
    ssl_tasks::pretrain_with(&BuiltIn, defaults, build, recipe, options, observer)
}

/// [`pretrain`] with a custom encoder, under a `name` that no built-in model has. The recipe's `[encoder]` is ignored.
///
/// `encoder` builds the network on the device of the `Init` and draws its initial values from it; it is called again when a
/// run is resumed. The run directory has everything that any other has. `encoder.safetensors` names tensors by the paths of
/// the network's fields; [`load_encoder`](crate::load_encoder) reads it back, and
/// [`embed_images_with`](crate::embed_images_with), [`similar_with`](crate::similar_with), [`dedup_with`](crate::dedup_with),
/// [`html_report_with`](crate::html_report_with) and [`export_with`](crate::export::export_with) use it.
///
/// ```no_run
/// # use burn_ssl::prelude::*;
/// # use burn_ssl::encoders::{ResNet, ResNetConfig};
/// fn small_net(init: &mut Init) -> ResNet {
///     ResNetConfig::resnet18().with_width(8).init(init) // replace with your own
/// }
///
/// let mut recipe = Recipe::named("demo")?;
/// let options = PretrainOptions::new("run");
/// let report = pretrain_encoder("small-net", small_net, &recipe, &options, &mut NoObserver)?;
/// # Ok::<(), burn_ssl::Error>(())
/// ```
///
/// # Errors
/// Those of [`pretrain`], and if a built-in model has that name.
pub fn pretrain_encoder<E: Encoder>(
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    ssl_tasks::pretrain_encoder(&BuiltIn, name, encoder, recipe, options, observer)
}

/// [`pretrain`] with a custom method and a custom encoder: the arguments of [`pretrain_with`] and [`pretrain_encoder`].
///
/// # Errors
/// Those of [`pretrain_with`] and [`pretrain_encoder`].
pub fn pretrain_with_encoder<C, M, E>(
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<E>,
    E: Encoder,
{
    ssl_tasks::pretrain_with_encoder(&BuiltIn, (defaults, build), (name, encoder), recipe, options, observer)
}

/// Says what a run will take and what its user should know before it starts: takes a few steps and writes nothing, see
/// [`ssl_tasks::plan`].
///
/// ```no_run
/// # use burn_ssl::prelude::*;
/// use burn_ssl::{PlanOptions, plan};
///
/// let plan = plan(&Recipe::named("demo")?, &PlanOptions::new(PretrainOptions::new("run")))?;
/// println!("{plan}");
/// # Ok::<(), burn_ssl::Error>(())
/// ```
///
/// # Errors
/// Those of [`pretrain`].
pub fn plan(recipe: &Recipe, options: &PlanOptions) -> Result<PlanReport, Error> {
    ssl_tasks::plan(&BuiltIn, recipe, options)
}

/// [`plan`] with a custom method, see [`pretrain_with`].
///
/// # Errors
/// Those of [`pretrain_with`].
pub fn plan_with<C, M>(
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<AnyEncoder>,
{
    ssl_tasks::plan_with(&BuiltIn, defaults, build, recipe, options)
}

/// [`plan`] with a custom encoder, see [`pretrain_encoder`].
///
/// # Errors
/// Those of [`pretrain_encoder`].
pub fn plan_encoder<E: Encoder>(
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error> {
    ssl_tasks::plan_encoder(&BuiltIn, name, encoder, recipe, options)
}

/// [`plan`] with a custom method and a custom encoder, see [`pretrain_with_encoder`].
///
/// # Errors
/// Those of [`pretrain_with_encoder`].
pub fn plan_with_encoder<C, M, E>(
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<E>,
    E: Encoder,
{
    ssl_tasks::plan_with_encoder(&BuiltIn, (defaults, build), (name, encoder), recipe, options)
}

/// Chooses `schedule.batch_size` and `schedule.epochs` where a draft leaves them to images and device (`"auto"`), see
/// [`ssl_tasks::choose_auto`].
///
/// # Errors
/// If the draft is no recipe, its images cannot be opened, or nothing fits.
pub fn choose_auto(draft: &mut Draft, options: AutoOptions) -> Result<Vec<String>, Error> {
    ssl_tasks::choose_auto(&BuiltIn, draft, options)
}

/// Fine-tunes an encoder with labels, together with the first layers of its projector if the method keeps some.
///
/// See [`ssl_tasks::finetune`].
///
/// # Errors
/// If the options, the encoder, the images, the device or the directory cannot be used.
pub fn finetune(options: &FinetuneOptions, observer: &mut dyn Observer) -> Result<FinetuneReport, Error> {
    ssl_tasks::finetune(&BuiltIn, options, observer)
}

/// Classifies the images of a test set by their nearest neighbours in a labelled bank, see [`ssl_tasks::evaluate_knn`].
///
/// # Errors
/// If the encoder, the sets or the device cannot be used.
pub fn evaluate_knn(options: &KnnOptions) -> Result<KnnReport, Error> {
    ssl_tasks::evaluate_knn(&BuiltIn, options)
}

/// Segments rendered images by the nearest neighbours of every patch, see [`ssl_tasks::segment`].
///
/// # Errors
/// If the encoder, its preprocessing or the device cannot be used.
pub fn segment(options: &SegmentOptions) -> Result<SegmentReport, Error> {
    ssl_tasks::segment(&BuiltIn, options)
}

/// Trains a linear classifier on the features of a frozen encoder, and tests it, see [`ssl_tasks::linear_probe`].
///
/// # Errors
/// If the encoder, the sets, the device or the optimizer cannot be used.
pub fn linear_probe(options: &LinearOptions, observer: &mut dyn Observer) -> Result<LinearReport, Error> {
    ssl_tasks::linear_probe(&BuiltIn, options, observer)
}

/// Writes the features of the centre crop of every image, with its name and, where known, its label and class, see
/// [`ssl_tasks::embed_images`].
///
/// # Errors
/// If the encoder, the images, the device or the file cannot be used.
pub fn embed_images(options: &EmbedOptions) -> Result<EmbedReport, Error> {
    ssl_tasks::embed_images(&BuiltIn, options)
}

/// Finds the images of a data set whose features are most similar to those of others, see [`ssl_tasks::similar`].
///
/// # Errors
/// If the encoder, the images, the queries, the device or the file cannot be used.
pub fn similar(options: &SimilarOptions) -> Result<SimilarReport, Error> {
    ssl_tasks::similar(&BuiltIn, options)
}

/// Writes a page about runs, one HTML file that needs no network, see [`ssl_tasks::html_report`].
///
/// # Errors
/// If there is no run, the file must not be overwritten, or the device cannot be used.
pub fn html_report(options: &HtmlReportOptions) -> Result<HtmlReport, Error> {
    ssl_tasks::html_report(&BuiltIn, options)
}

/// [`html_report`] about a run with a custom encoder, see [`pretrain_encoder`]. `encoder` makes the network as it did for the run.
///
/// # Errors
/// Those of [`html_report`], and if there are several runs, the run is not finished, or the network does not have the tensors of
/// its file.
pub fn html_report_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &HtmlReportOptions,
) -> Result<HtmlReport, Error> {
    ssl_tasks::html_report_with(&BuiltIn, encoder, options)
}

/// Finds near-duplicates among images, see [`ssl_tasks::dedup`].
///
/// # Errors
/// If the encoder, the images, the device or the file cannot be used.
pub fn dedup(options: &DedupOptions) -> Result<DedupReport, Error> {
    ssl_tasks::dedup(&BuiltIn, options)
}

/// Writes the encoder of a run as a file for other libraries, see [`ssl_tasks::export::export`].
///
/// # Errors
/// If the run has no intact checkpoint, the library has no such model, or the file exists.
pub fn export(options: &ExportOptions) -> Result<ExportReport, Error> {
    ssl_tasks::export::export(&BuiltIn, options)
}

/// Draws a contact sheet of the first images of a recipe's data set, see [`ssl_tasks::preview`].
///
/// # Errors
/// If the recipe or the images cannot be used, the recipe has a mask and the encoder no patches, or the file exists.
pub fn preview(recipe: &Recipe, options: &PreviewOptions) -> Result<PreviewReport, Error> {
    ssl_tasks::preview(&BuiltIn, recipe, options)
}

/// Pretrains on rendered images with the recipe `demo`, see [`ssl_tasks::demo::demo`].
///
/// # Errors
/// If the device or the directory cannot be used.
pub fn demo(options: &DemoOptions, observer: &mut dyn Observer) -> Result<DemoReport, Error> {
    ssl_tasks::demo::demo(&BuiltIn, Recipe::named("demo")?, options, observer)
}
