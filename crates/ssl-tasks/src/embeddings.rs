//! Writes the features of images to a file for other programs.

mod format;
mod parquet;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{DeviceSpec, Encoder, Group, Init};
use ssl_encoders::{Artifact, Preprocessing, Provenance};
use ssl_eval::{Embedder, embed_with_indices};
use tracing::info;

use crate::encoder::FoundEncoder;
use crate::preparation::Preparation;
use crate::{
    EncoderOrigin, EncoderSource, EncoderSummary, Error, Methods, PreprocessingOptions, files, images,
    load_encoder,
};
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
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default: as in the
    /// recipe of the run that the encoder comes from, else [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// How images are prepared, where it differs from what the encoder's file says.
    pub preprocessing: PreprocessingOptions,
    /// The file. Its extension selects the format: `.csv`, `.npy` (names and labels go to a `.csv` of the same name),
    /// `.safetensors` (tensors `features`, `labels`; names in the metadata) or `.parquet` (columns `file`, `label`, `class` and
    /// `features`, a list). An [`Artifact`] describes the encoder: in the metadata of a `.safetensors` or `.parquet`, otherwise in
    /// a `.json` of the same name.
    pub out: PathBuf,
    /// Whether existing files may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// The processes that share the images; the first one writes the files. Default: this one alone.
    pub group: Group,
}

impl EmbedOptions {
    /// All images of `data`.
    pub fn new(encoder: EncoderSource, data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            encoder,
            data: data.into(),
            limit: None,
            max_image_bytes: None,
            preprocessing: PreprocessingOptions::default(),
            out: out.into(),
            overwrite: false,
            workers: 0,
            device: DeviceSpec::Flex,
            group: Group::default(),
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
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Writes the features of the centre crop of every image, with its name and, where known, its label and class.
///
/// # Errors
/// If the encoder, the images, the device or the file cannot be used.
pub fn embed_images(methods: &impl Methods, options: &EmbedOptions) -> Result<EmbedReport, Error> {
    check_free(options)?;
    let found = options.encoder.find(methods)?;
    embedded(options, &found, |size, device| found.open(size, device))
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
    check_free(options)?;
    let (run, found) = FoundEncoder::of_outside(&options.encoder)?;
    embedded(options, &found, |_, device| load_encoder(&run, encoder, device))
}

/// Fails if one of the files must not be overwritten.
fn check_free(options: &EmbedOptions) -> Result<(), Error> {
    let format = Format::of(&options.out)?;
    let (names, about) = (format.names(&options.out), format.about(&options.out));
    let mut files = [&options.out].into_iter().chain(&names).chain(&about);
    files.try_for_each(|path| {
        options.encoder.check_kept(path)?;
        files::check_free(path, options.overwrite)
    })
}

fn embedded<E: Encoder>(
    options: &EmbedOptions,
    found: &FoundEncoder,
    open: impl FnOnce(usize, &Device) -> Result<E, Error>,
) -> Result<EmbedReport, Error> {
    let format = Format::of(&options.out)?;
    let (names, about) = (format.names(&options.out), format.about(&options.out));
    let device = options.device.open()?;
    let bytes = options.encoder.max_image_bytes(options.max_image_bytes)?;
    let set = Arc::new(images::open_within(&options.data, options.limit, bytes)?);
    let preprocessing = options.preprocessing.resolve_for(&options.encoder, found.artifact.as_ref(), &set)?;
    let encoder = open(preprocessing.size, &device)?;
    let loader = Preparation { preprocessing, workers: options.workers }.eval_loader(&set)?;
    info!("encoder: {}", found.summary);
    let (features, indices) =
        embed_with_indices(&encoder, &loader, &Embedder::on(&device).in_group(&options.group))?;
    features.check_finite("embedded")?;

    let table = Table::new(features, &indices, &set);
    let artifact = described(found, preprocessing);
    if options.group.rank() == 0 {
        for (path, bytes) in format.files(&options.out, &table, artifact)? {
            files::write(&path, &bytes, options.overwrite)?;
        }
    }
    let labels = set.labels().is_some();
    let (images, dim) = (indices.len(), table.dim);
    Ok(EmbedReport {
        out: options.out.clone(),
        names,
        about,
        images,
        dim,
        labels,
        encoder: found.summary.clone(),
    })
}

/// The description of the encoder, with the preprocessing of the images.
fn described(found: &FoundEncoder, preprocessing: Preprocessing) -> Artifact {
    if let Some(artifact) = &found.artifact {
        return Artifact { preprocessing, metrics: BTreeMap::new(), ..artifact.clone() };
    }
    let untrained = found.summary.origin == EncoderOrigin::Untrained;
    let (seed, steps) = (found.summary.seed, untrained.then_some(0));
    let provenance = Provenance { seed, steps, ..Provenance::default() };
    Artifact::new(found.config(), preprocessing).with_provenance(provenance)
}
