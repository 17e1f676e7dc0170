//! Where an encoder comes from.

use serde::{Deserialize, Serialize};

/// Where an encoder comes from. Unknown fields are absent; for weights trained by others, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Version of burn-ssl that wrote the file.
    pub version: String,
    /// The method that trained the encoder; `finetune` or `distill` for the encoder of a classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A hash of everything that determined the weights except the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_hash: Option<String>,
    /// The training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSummary>,
    /// The seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Optimizer steps; 0 for an untrained encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// The images that an encoder was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// The name of the file or folder, without the folders above it.
    pub name: String,
    /// Number of images.
    pub images: usize,
    /// Number of classes, if the images have labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

impl Default for Provenance {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { version, method: None, recipe_hash: None, data: None, seed: None, steps: None }
    }
}
