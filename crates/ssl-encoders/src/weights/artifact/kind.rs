//! What the tensors of a file are.

use std::fmt;

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, limits};

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

impl ClassifierHead {
    /// Checks the numbers of layers, of their outputs and of classes.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        limits::layers("neck", self.neck.len())?;
        for layer in &self.neck {
            ConfigError::check(layer.outputs > 0, "neck.outputs", 0, "at least 1")?;
            limits::width("neck.outputs", layer.outputs)?;
        }
        ConfigError::check(self.classes > 0, "classes", 0, "at least 1")?;
        limits::outputs("classes", self.classes)
    }

    /// Weights on top of an encoder with features of length `feature_dim`; biases and norms come on top.
    pub fn weights(&self, feature_dim: usize) -> f64 {
        let outputs = self.neck.iter().map(|layer| layer.outputs).chain([self.classes]);
        let inputs = [feature_dim].into_iter().chain(self.neck.iter().map(|layer| layer.outputs));
        inputs.zip(outputs).map(|(inputs, outputs)| inputs as f64 * outputs as f64).sum()
    }
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
