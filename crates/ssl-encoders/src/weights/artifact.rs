//! The description in the files of a run.

mod kind;
mod preprocessing;
mod provenance;
mod upgrade;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, named};

pub use kind::{ClassifierHead, Kind};
pub use preprocessing::Preprocessing;
pub use provenance::{DataSummary, Provenance};

use super::{WeightsError, read, seal};
use crate::{EncoderConfig, MODELS};

/// The version of [`Artifact`] that this crate writes. It can read every version up to this one.
pub const SCHEMA: u32 = 1;

/// The description stored next to the tensors in a run's output files: enough to recreate the encoder, to prepare its
/// images, and to know where it comes from.
///
/// In safetensors files it is JSON under the metadata key `burn-ssl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The version of the description, [`SCHEMA`].
    pub schema: u32,
    /// What the tensors are.
    #[serde(flatten)]
    pub kind: Kind,
    /// The encoder, with everything that depends on the image size filled in.
    pub encoder: EncoderConfig,
    /// How to prepare images for the encoder.
    pub preprocessing: Preprocessing,
    /// Where the encoder comes from.
    pub provenance: Provenance,
    /// Results of the encoder or classifier, named as in `metrics.jsonl`, such as `knn_top1`.
    ///
    /// In float32, so that a resumed run, whose sums have gone through text, ends with the same bytes.
    pub metrics: BTreeMap<String, f32>,
}

impl Artifact {
    /// Describes an encoder that `config` created for images of `preprocessing.size` pixels.
    pub fn new(config: &EncoderConfig, preprocessing: Preprocessing) -> Self {
        Self {
            schema: SCHEMA,
            kind: Kind::Encoder,
            // The path of the initial weights is specific to this machine.
            encoder: EncoderConfig { init: None, ..config.resolved(preprocessing.size) },
            preprocessing,
            provenance: Provenance::default(),
            metrics: BTreeMap::new(),
        }
    }

    /// Sets what the tensors are.
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets where the encoder comes from.
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = provenance;
        self
    }

    /// Adds metrics; NaN and infinite values are left out.
    pub fn with_metrics<N: Into<String>>(mut self, metrics: impl IntoIterator<Item = (N, f64)>) -> Self {
        let finite = metrics.into_iter().filter(|(_, value)| value.is_finite());
        self.metrics.extend(finite.map(|(name, value)| (name.into(), value as f32)));
        self
    }

    /// Encodes `tensors` with this description and a checksum of both as a safetensors file.
    pub fn encode(&self, tensors: &BTreeMap<String, TensorData>) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("strings and finite numbers");
        let sealed = seal::sealed(&text, &named::encode(tensors, &text));
        named::encode(tensors, &sealed)
    }

    /// Atomically writes `tensors` with this description as a safetensors file. Equal tensors and descriptions give
    /// equal bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path, tensors: &BTreeMap<String, TensorData>) -> Result<(), WeightsError> {
        let written = ssl_files::write(path, &self.encode(tensors));
        written.map_err(|source| WeightsError::Io { path: path.to_owned(), source })
    }

    /// The description, if its numbers are within their limits; a reason otherwise.
    fn checked(self) -> Result<Self, String> {
        let wrong = |error: ConfigError| format!("its description is unusable: {error}");
        self.preprocessing.validate().map_err(wrong)?;
        // Encoders of others have names of their own, and only they know what is usable.
        if MODELS.iter().any(|model| model.name == self.encoder.name) {
            self.encoder.validate(self.preprocessing.size).map_err(wrong)?;
        }
        if let Kind::Classifier(head) = &self.kind {
            head.validate().map_err(wrong)?;
        }
        Ok(self)
    }

    /// Reads the description of a file; `None` for files not written by burn-ssl and for a run's checkpoints.
    ///
    /// # Errors
    /// If the file cannot be read, was written by a newer burn-ssl, or describes what nothing has.
    pub fn read(path: &Path) -> Result<Option<Self>, WeightsError> {
        let parse = |text: String| {
            let artifact = upgrade::parse(&text);
            let checked = artifact.and_then(|artifact| artifact.checked());
            checked.map_err(|reason| WeightsError::Format { path: path.to_owned(), reason })
        };
        read::description(path)?.map(parse).transpose()
    }
}
