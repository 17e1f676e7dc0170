//! What the tensors of a file are.

use std::fmt;

use serde::{Deserialize, Serialize};
use ssl_core::LayerConfig;

/// What the tensors of a file are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// An encoder alone.
    Encoder,
    /// An encoder under `encoder.`, with a classifier on it.
    Classifier(ClassifierHead),
    /// The features `[image, feature]` that the encoder gives for some images, and their labels.
    Embeddings {
        /// What the images are called, by row. Empty where another file has the names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
        /// The names of the classes by label, if they have names.
        #[serde(default)]
        classes: Option<Vec<String>>,
    },
}

/// What a classifier has on its encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassifierHead {
    /// The layers between encoder and classifier.
    pub neck: Vec<LayerConfig>,
    /// Number of classes.
    pub classes: usize,
    /// The names of the classes by label, if they have names.
    pub class_names: Option<Vec<String>>,
}

/// With its article, as an error names it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoder => "an encoder",
            Self::Classifier(_) => "a classifier",
            Self::Embeddings { .. } => "embeddings",
        })
    }
}
