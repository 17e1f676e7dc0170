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
    /// An encoder under `encoder.`, with a classifier on top.
    Classifier(ClassifierHead),
    /// The encoder's features for some images, `[image, feature]`, and their labels.
    Embeddings {
        /// The names of the images, by row. Empty if another file has the names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
        /// The names of the classes, by label, if they have names.
        #[serde(default)]
        classes: Option<Vec<String>>,
    },
}

/// The classifier on top of an encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassifierHead {
    /// The layers between encoder and classifier.
    pub neck: Vec<LayerConfig>,
    /// Number of classes.
    pub classes: usize,
    /// The names of the classes, by label, if they have names.
    pub class_names: Option<Vec<String>>,
}

/// With an article, as used in errors.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoder => "an encoder",
            Self::Classifier(_) => "a classifier",
            Self::Embeddings { .. } => "embeddings",
        })
    }
}
