//! Pretraining with a method or an encoder that the caller brings.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, Encoder, Init, SslMethod};
use ssl_encoders::AnyEncoder;
use ssl_train::Observer;

use super::teacher::RunTeacher;
use super::{PretrainOptions, Pretraining, Report, built_in, pretrain_known};
use crate::methods::{Methods, WithMethod, options_of};
use crate::recipe::RecipeError;
use crate::{Error, Recipe};

/// [`pretrain`](super::pretrain()) with a custom method. Its recipe can give it any name that no built-in method has, and sets fields
/// of its configuration under `[method_options]`.
///
/// `defaults` is the configuration that the options of the recipe override; `build` turns the result into the method. The
/// run directory is like any other: the run can be resumed, evaluated and exported.
///
/// # Errors
/// Those of [`pretrain`](super::pretrain()), and if a built-in method has that name.
pub fn pretrain_with<C, M>(
    methods: &impl Methods,
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
    let (method, run) = open_with(methods, (defaults, build), (None, built_in), recipe, options, observer)?;
    WithMethod::<AnyEncoder>::run(run, method)
}

/// [`pretrain`](super::pretrain()) with a custom encoder, under a `name` that no built-in model has. The recipe's `[encoder]` is
/// ignored.
///
/// `encoder` builds the network on the device of the `Init` and draws its initial values from it; it is called again when a
/// run is resumed. The run directory has everything that any other has. `encoder.safetensors` names tensors by the paths of
/// the network's fields; [`load_encoder`](crate::load_encoder) reads it back, and
/// [`embed_images_with`](crate::embed_images_with), [`similar_with`](crate::similar_with), [`dedup_with`](crate::dedup_with),
/// [`html_report_with`](crate::html_report_with) and [`export_with`](crate::export::export_with) use it.
///
/// # Errors
/// Those of [`pretrain`](super::pretrain()), and if a built-in model has that name.
pub fn pretrain_encoder<E: Encoder>(
    methods: &impl Methods,
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error> {
    let recipe = recipe.clone().resolved_for_encoder(name, methods)?;
    pretrain_known(methods, recipe, options, |_: &Recipe, init: &mut Init| Ok(encoder(init)), observer)
}

/// [`pretrain`](super::pretrain()) with a custom method, its defaults and what builds it, and a custom encoder, its name and what
/// builds it: [`pretrain_with`] and [`pretrain_encoder`] in one.
///
/// # Errors
/// Those of [`pretrain_with`] and [`pretrain_encoder`].
pub fn pretrain_with_encoder<C, M, E>(
    methods: &impl Methods,
    method: (C, impl FnOnce(&C) -> Result<M, ConfigError>),
    (name, encoder): (&str, impl FnOnce(&mut Init) -> E),
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Report, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<E>,
    E: Encoder,
{
    let make = |_: &Recipe, init: &mut Init| Ok::<E, Error>(encoder(init));
    let (method, run) = open_with(methods, method, (Some(name), make), recipe, options, observer)?;
    WithMethod::<E>::run(run, method)
}

/// A custom method, and a run of it with the encoder that `make` builds: a custom one of that name, or that of the recipe.
pub(super) fn open_with<'a, C, M, E, F>(
    methods: &impl Methods,
    (defaults, build): (C, impl FnOnce(&C) -> Result<M, ConfigError>),
    (name, make): (Option<&str>, F),
    recipe: &Recipe,
    options: &'a PretrainOptions,
    observer: &'a mut dyn Observer,
) -> Result<(M, Pretraining<'a, F>), Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<E>,
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    let unset = options_of(&defaults)?;
    let (mut recipe, config) = recipe.clone().resolved_with(defaults, name, methods)?;
    let method = build(&config).map_err(RecipeError::method_option)?;
    let teacher = RunTeacher::find(methods, &mut recipe, &method.needs(), options)?;
    Ok((method, Pretraining::open(recipe, unset, teacher, options, make, observer)?))
}
