//! What the files of a run say about themselves.

mod kind;
mod preprocessing;
mod provenance;
mod upgrade;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use ssl_core::named;

pub use kind::{ClassifierHead, Kind};
pub use preprocessing::Preprocessing;
pub use provenance::{DataSummary, Provenance};

use super::{WeightsError, read};
use crate::EncoderConfig;

/// The version of [`Artifact`] that this crate writes. It reads every version up to this one.
pub const SCHEMA: u32 = 1;

/// What a file that a run leaves says beside its tensors: enough to make the encoder, to feed it, and to know where it is
/// from.
///
/// In safetensors files it is JSON under the key `burn-ssl` of the metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The version of this description, [`SCHEMA`].
    pub schema: u32,
    /// What the tensors are.
    #[serde(flatten)]
    pub kind: Kind,
    /// The encoder, without anything that depends on the size of images.
    pub encoder: EncoderConfig,
    /// What the encoder wants its images to be like.
    pub preprocessing: Preprocessing,
    /// Where the encoder is from.
    pub provenance: Provenance,
    /// Figures of the encoder or classifier by the names of `metrics.jsonl`, such as `knn_top1`.
    ///
    /// In float32, so that a resumed run, whose sums have been through text, ends with the same bytes.
    pub metrics: BTreeMap<String, f32>,
}

impl Artifact {
    /// Describes an encoder that `config` made for images of `preprocessing.size` pixels.
    pub fn new(config: &EncoderConfig, preprocessing: Preprocessing) -> Self {
        Self {
            schema: SCHEMA,
            kind: Kind::Encoder,
            // Where the weights started from is a path on this machine.
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

    /// Sets where the encoder is from.
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = provenance;
        self
    }

    /// Adds figures; those that are no finite number are left out.
    pub fn with_metrics<N: Into<String>>(mut self, metrics: impl IntoIterator<Item = (N, f64)>) -> Self {
        let finite = metrics.into_iter().filter(|(_, value)| value.is_finite());
        self.metrics.extend(finite.map(|(name, value)| (name.into(), value as f32)));
        self
    }

    /// The bytes of a safetensors file of `tensors` with this description.
    pub fn encode(&self, tensors: &BTreeMap<String, TensorData>) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("strings and finite numbers");
        named::encode(tensors, &text)
    }

    /// Writes a safetensors file of `tensors` with this description, whole or not at all. Equal tensors and descriptions
    /// give equal bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path, tensors: &BTreeMap<String, TensorData>) -> Result<(), WeightsError> {
        let written = ssl_files::write(path, &self.encode(tensors));
        written.map_err(|source| WeightsError::Io { path: path.to_owned(), source })
    }

    /// The description of a file; none for files that burn-ssl did not write, and for checkpoints of a run.
    ///
    /// # Errors
    /// If the file cannot be read, or a newer burn-ssl wrote it.
    pub fn read(path: &Path) -> Result<Option<Self>, WeightsError> {
        let parse = |text: String| {
            let artifact = upgrade::parse(&text);
            artifact.map_err(|reason| WeightsError::Format { path: path.to_owned(), reason })
        };
        read::description(path)?.map(parse).transpose()
    }
}
