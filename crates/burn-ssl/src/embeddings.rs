//! Features of images in a file, for other programs.

mod format;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{DeviceSpec, Encoder, Init};
use ssl_eval::embed_with_indices;

use crate::images::{self, eval_loader};
use crate::{EncoderSource, Error, Recipe, files, load_encoder};
use format::{Format, Table};

/// Which images are embedded, by which encoder, and where their features go.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedOptions {
    /// The encoder, in evaluation mode.
    pub encoder: EncoderSource,
    /// The images, labelled or not.
    pub data: PathBuf,
    /// Keep only so many of them. Default: all.
    pub limit: Option<usize>,
    /// Width and height of the images in pixels. Default: those of the run or of the data set's usual recipe.
    pub image_size: Option<usize>,
    /// The file. Its ending says what it is: `.csv`, `.npy` (names and labels go to a `.csv` of the same name) or
    /// `.safetensors` (tensors `features`, `labels`; names in the metadata).
    pub out: PathBuf,
    /// Whether existing files may be overwritten. Default no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, stands for one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl EmbedOptions {
    /// All images of `data`.
    pub fn new(encoder: EncoderSource, data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            encoder,
            data: data.into(),
            limit: None,
            image_size: None,
            out: out.into(),
            overwrite: false,
            workers: 0,
            device: DeviceSpec::Flex,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmbedReport {
    /// The file.
    pub out: PathBuf,
    /// The file of names and labels, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
    /// Images embedded; those that cannot be read are left out.
    pub images: usize,
    /// Length of a feature vector.
    pub dim: usize,
    /// Whether the images have labels.
    pub labels: bool,
}

/// Writes the features of the centre view of every image, with its name, its label and its class where known.
///
/// # Errors
/// What the encoder, the images, the device or the file have wrong.
pub fn embed_images(options: &EmbedOptions) -> Result<EmbedReport, Error> {
    embedded(options, |recipe, device| options.encoder.open(recipe, device))
}

/// [`embed_images`] with the encoder of a run of [`pretrain_encoder`](crate::pretrain_encoder).
///
/// `encoder` makes the network as it did for the run; its values are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`embed_images`], a source that is no run, and a network whose tensors are not those of the file.
pub fn embed_images_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &EmbedOptions,
) -> Result<EmbedReport, Error> {
    let run = options.encoder.run_dir()?.ok_or_else(|| Error::NoRun(options.encoder.to_string()))?;
    embedded(options, |_, device| load_encoder(&run, encoder, device))
}

fn embedded<E: Encoder>(
    options: &EmbedOptions,
    open: impl FnOnce(&Recipe, &Device) -> Result<E, Error>,
) -> Result<EmbedReport, Error> {
    let format = Format::of(&options.out)?;
    let names = format.companion(&options.out);
    for path in std::iter::once(&options.out).chain(&names) {
        files::check_free(path, options.overwrite)?;
    }
    let device = options.device.open()?;
    let set = Arc::new(images::open(&options.data, options.limit)?);
    let mut recipe = match options.encoder.run_recipe()? {
        Some(recipe) => recipe,
        None => options.encoder.usual_recipe(options.image_size.or_else(|| images::pixels(&set)))?,
    };
    recipe.data.image_size = options.image_size.unwrap_or(recipe.data.image_size);
    recipe.data.workers = options.workers;
    let encoder = open(&recipe, &device)?;
    let (features, indices) = embed_with_indices(&encoder, &eval_loader(&set, &recipe)?, &device)?;

    let table = Table::new(features, &indices, &set);
    for (path, bytes) in format.files(&options.out, &table) {
        files::write(&path, &bytes, options.overwrite)?;
    }
    let labels = set.labels().is_some();
    Ok(EmbedReport { out: options.out.clone(), names, images: indices.len(), dim: table.dim, labels })
}
