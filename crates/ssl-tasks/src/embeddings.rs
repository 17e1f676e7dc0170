//! Writing features of images to a file, for other programs.

mod format;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{DeviceSpec, Encoder, Init};
use ssl_encoders::{Artifact, Preprocessing, Provenance};
use ssl_eval::embed_with_indices;

use crate::preparation::Preparation;
use crate::{EncoderSource, Error, PreprocessingOptions, files, images, load_encoder};
use format::{Format, Table};

/// Options of [`embed_images`].
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedOptions {
    /// The encoder, in evaluation mode.
    pub encoder: EncoderSource,
    /// The images, labelled or not.
    pub data: PathBuf,
    /// Use only this many of them. Default: all.
    pub limit: Option<usize>,
    /// How images are prepared, where that differs from what the encoder's file says.
    pub preprocessing: PreprocessingOptions,
    /// The file. The format follows from its extension: `.csv`, `.npy` (names and labels go to a `.csv` of the same name) or
    /// `.safetensors` (tensors `features`, `labels`; names in the metadata). An [`Artifact`] describes the encoder: in the
    /// metadata of a `.safetensors`, otherwise in a `.json` of the same name.
    pub out: PathBuf,
    /// Whether existing files may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
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
            preprocessing: PreprocessingOptions::default(),
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
    /// The file of names and labels, if it is a separate one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
    /// The file that describes the encoder, if it is a separate one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<PathBuf>,
    /// Number of images, without those that could not be read.
    pub images: usize,
    /// Length of a feature vector.
    pub dim: usize,
    /// Whether the images have labels.
    pub labels: bool,
}

/// Writes the features of the centre crop of every image, with its name and, where known, its label and class.
///
/// # Errors
/// If the encoder, the images, the device or the file cannot be used.
pub fn embed_images(options: &EmbedOptions) -> Result<EmbedReport, Error> {
    embedded(options, |size, device| options.encoder.open(size, device))
}

/// [`embed_images`] with the encoder of a run of [`pretrain_encoder`](crate::pretrain_encoder).
///
/// `encoder` makes the network as it did for the run; its weights are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`embed_images`], and if the encoder is not from a run, or the network does not have the tensors of the file.
pub fn embed_images_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &EmbedOptions,
) -> Result<EmbedReport, Error> {
    let run = options.encoder.run_dir()?.ok_or_else(|| Error::NoRun(options.encoder.to_string()))?;
    embedded(options, |_, device| load_encoder(&run, encoder, device))
}

fn embedded<E: Encoder>(
    options: &EmbedOptions,
    open: impl FnOnce(usize, &Device) -> Result<E, Error>,
) -> Result<EmbedReport, Error> {
    let format = Format::of(&options.out)?;
    let (names, about) = (format.names(&options.out), format.about(&options.out));
    for path in [&options.out].into_iter().chain(&names).chain(&about) {
        files::check_free(path, options.overwrite)?;
    }
    let device = options.device.open()?;
    let set = Arc::new(images::open(&options.data, options.limit)?);
    let of_encoder = options.encoder.artifact()?;
    let preprocessing = options.preprocessing.resolve(of_encoder.as_ref(), &set)?;
    let encoder = open(preprocessing.size, &device)?;
    let loader = Preparation { preprocessing, workers: options.workers }.eval_loader(&set)?;
    let (features, indices) = embed_with_indices(&encoder, &loader, &device)?;
    features.check_finite("embedded")?;

    let table = Table::new(features, &indices, &set);
    let artifact = described(&options.encoder, of_encoder, preprocessing)?;
    for (path, bytes) in format.files(&options.out, &table, artifact) {
        files::write(&path, &bytes, options.overwrite)?;
    }
    let labels = set.labels().is_some();
    Ok(EmbedReport { out: options.out.clone(), names, about, images: indices.len(), dim: table.dim, labels })
}

/// The description of the encoder, with the preprocessing of the images.
fn described(
    encoder: &EncoderSource,
    artifact: Option<Artifact>,
    preprocessing: Preprocessing,
) -> Result<Artifact, Error> {
    if let Some(artifact) = artifact {
        return Ok(Artifact { preprocessing, metrics: BTreeMap::new(), ..artifact });
    }
    let provenance = match encoder {
        EncoderSource::Untrained { seed, .. } => {
            Provenance { seed: Some(*seed), steps: Some(0), ..Provenance::default() }
        }
        _ => Provenance::default(),
    };
    Ok(Artifact::new(&encoder.config()?, preprocessing).with_provenance(provenance))
}
