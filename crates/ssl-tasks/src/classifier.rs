//! Directories of classifiers, as written by fine-tuning and distillation.

mod read;
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use ssl_core::{Encoder, Mlp, named};
use ssl_encoders::{AnyEncoder, Artifact, ClassifierHead, Kind, weights};
use ssl_eval::Classifier;
use ssl_train::{RunDir, newest_intact_checkpoint};

pub(crate) use read::{Teacher, match_labels, recorded_test};
pub(crate) use run::{ClassifierRun, Record, Tested};

use crate::Error;

/// The description of the classifier in `classifier.safetensors`.
pub(crate) fn head(network: &Classifier<AnyEncoder>, class_names: Option<Vec<String>>) -> ClassifierHead {
    let neck = network.neck.as_ref().map(Mlp::layers).unwrap_or_default();
    ClassifierHead { neck, classes: network.feature_dim(), class_names }
}

/// Writes the classifier, and its encoder in a file of its own for the other commands.
pub(crate) fn save(
    run: &RunDir,
    network: &Classifier<AnyEncoder>,
    encoder: &Artifact,
    head: &ClassifierHead,
) -> Result<(), Error> {
    let classifier = encoder.clone().with_kind(Kind::Classifier(head.clone()));
    classifier.write(&run.classifier(), &named::collect(network))?;
    Ok(weights::save(&network.encoder, &run.encoder(), encoder)?)
}

/// Whether a directory contains a classifier rather than a pretraining run.
pub(crate) fn is_classifier(path: &Path) -> bool {
    RunDir::open(path).is_err() && RunDir::open_classifier(path).is_ok()
}

/// Whether a training in a directory has a checkpoint to go on from.
pub(crate) fn has_checkpoint(out: &Path) -> Result<bool, Error> {
    Ok(newest_intact_checkpoint(&RunDir::open_classifier(out)?)?.is_some())
}

/// Fails if overwriting `out` would remove the input.
pub(crate) fn check_apart(read: &Path, out: &Path) -> Result<(), Error> {
    let place = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    match (place(read), place(out)) {
        (Ok(read), Ok(there)) if read == there => Err(Error::SameDirectory(out.into())),
        _ => Ok(()),
    }
}

/// An absolute path, for records.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    if crate::images::is_rendered(path) {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
