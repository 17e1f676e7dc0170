//! The commands that meet methods by name, with the registry of this build.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, Encoder, Init, SslMethod};
use ssl_encoders::AnyEncoder;
use ssl_tasks::demo::{DemoOptions, DemoReport};
use ssl_tasks::{
    Error, FinetuneOptions, FinetuneReport, Observer, PretrainOptions, PreviewOptions, PreviewReport, Recipe,
    Report,
};

use crate::recipe::NamedRecipe;
use crate::registry::BuiltIn;

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
    ssl_tasks::pretrain(&BuiltIn, recipe, options, observer)
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
    ssl_tasks::pretrain_with(&BuiltIn, defaults, build, recipe, options, observer)
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
    ssl_tasks::pretrain_encoder(&BuiltIn, name, encoder, recipe, options, observer)
}

/// Fine-tunes an encoder with labels, maybe with the first layers of its projector, where the run's method keeps some.
///
/// See [`ssl_tasks::finetune`].
///
/// # Errors
/// What the options, the encoder, the images, the device or the directory have wrong.
pub fn finetune(options: &FinetuneOptions, observer: &mut impl Observer) -> Result<FinetuneReport, Error> {
    ssl_tasks::finetune(&BuiltIn, options, observer)
}

/// Draws a contact sheet of the first images of a recipe's data set, see [`ssl_tasks::preview`].
///
/// # Errors
/// What the recipe or the images have wrong, a mask for an encoder without patches, or an existing file.
pub fn preview(recipe: &Recipe, options: &PreviewOptions) -> Result<PreviewReport, Error> {
    ssl_tasks::preview(&BuiltIn, recipe, options)
}

/// Pretrains on rendered images with the recipe `demo`, see [`ssl_tasks::demo::demo`].
///
/// # Errors
/// What the device or the directory have wrong.
pub fn demo(options: &DemoOptions, observer: &mut impl Observer) -> Result<DemoReport, Error> {
    ssl_tasks::demo::demo(&BuiltIn, Recipe::named("demo")?, options, observer)
}
