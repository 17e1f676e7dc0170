//! Directories of classifiers: what `finetune` and `distill` write and what reads it.

mod read;
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssl_core::{Encoder, LayerConfig, Mlp, named};
use ssl_encoders::AnyEncoder;
use ssl_encoders::weights::Metadata;
use ssl_eval::Classifier;
use ssl_train::RunDir;

pub(crate) use read::{load, recorded_test};
pub(crate) use run::{ClassifierRun, Record, Tested};

use crate::Error;

/// What `classifier.safetensors` says beside its tensors: enough to make the network and to feed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClassifierMetadata {
    /// The encoder, its images and how it was made.
    #[serde(flatten)]
    pub(crate) encoder: Metadata,
    /// The layers between encoder and head.
    pub(crate) neck: Vec<LayerConfig>,
    /// Number of classes.
    pub(crate) classes: usize,
    /// Their names by label, where they have names.
    pub(crate) class_names: Option<Vec<String>>,
}

impl ClassifierMetadata {
    pub(crate) fn new(
        encoder: Metadata,
        network: &Classifier<AnyEncoder>,
        class_names: Option<Vec<String>>,
    ) -> Self {
        let neck = network.neck.as_ref().map(Mlp::layers).unwrap_or_default();
        Self { encoder, neck, classes: network.feature_dim(), class_names }
    }
}

/// Writes the classifier of a directory, and its encoder alone as other commands read it.
pub(crate) fn save(
    run: &RunDir,
    network: &Classifier<AnyEncoder>,
    metadata: &ClassifierMetadata,
) -> Result<(), Error> {
    let json = serde_json::to_string(metadata).expect("strings and finite numbers");
    run.write_atomic("classifier.safetensors", &named::encode(&named::collect(network), &json))?;
    Ok(ssl_encoders::weights::save(&network.encoder, &run.encoder(), &metadata.encoder)?)
}

/// Whether a directory holds a classifier and no pretraining run.
pub(crate) fn is_classifier(path: &Path) -> bool {
    RunDir::open(path).is_err() && RunDir::open_classifier(path).is_ok()
}

/// Fails if what is read would be removed when `out` is overwritten.
pub(crate) fn check_apart(read: &Path, out: &Path) -> Result<(), Error> {
    let place = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    match (place(read), place(out)) {
        (Ok(read), Ok(there)) if read == there => Err(Error::SameDirectory(out.into())),
        _ => Ok(()),
    }
}

/// A path that means the same in every folder, for records.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    if crate::images::is_rendered(path) {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
