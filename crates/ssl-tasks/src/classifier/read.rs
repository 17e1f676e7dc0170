//! Classifiers as teachers.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init, Mlp, named};
use ssl_data::Dataset;
use ssl_encoders::weights::WeightsError;
use ssl_encoders::{AnyEncoder, Artifact, ClassifierHead, Kind, weights};
use ssl_eval::Classifier;
use ssl_train::{RunDir, TrainError};

use crate::Error;

/// A classifier and the description in its file.
pub(crate) struct Teacher {
    pub(crate) network: Classifier<AnyEncoder>,
    pub(crate) artifact: Artifact,
    pub(crate) head: ClassifierHead,
}

impl Teacher {
    /// Reads the classifier of a directory.
    pub(crate) fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let file = RunDir::open_classifier(path)?.classifier();
        if !file.is_file() {
            return Err(Error::ClassifierNotFinished(path.into()));
        }
        let (artifact, head) = described(&file)?;
        let encoder = artifact.encoder.footprint(artifact.preprocessing.size, artifact.preprocessing.size)?;
        weights::check_room(&file, encoder.parameters + head.weights(encoder.feature_dim))?;
        let network = network(&artifact, &head, device)?;
        let bytes = ssl_files::read(&file).map_err(|source| Error::Io { path: file.clone(), source })?;
        let (tensors, _) = named::decode(&bytes)
            .map_err(|error| WeightsError::Format { path: file.clone(), reason: error.to_string() })?;
        if let Some(tensor) = named::first_not_finite(&tensors) {
            let tensor = tensor.to_owned();
            return Err(WeightsError::NotFinite { path: file, tensor }.into());
        }
        let network =
            named::load(network, tensors).map_err(|source| WeightsError::Tensor { path: file, source })?;
        Ok(Self { network, artifact, head })
    }
}

/// Numbers the labels of a set as the classifier does, after checking that it knows every class.
pub(crate) fn match_labels(head: &ClassifierHead, set: &mut Dataset) -> Result<(), Error> {
    if let Some(names) = &head.class_names {
        set.match_labels(names)?;
    }
    let classes = head.classes;
    let known = |label: &i64| (0..classes as i64).contains(label);
    match set.labels().unwrap_or_default().iter().find(|label| !known(label)) {
        Some(&label) => Err(Error::UnknownLabel { label, classes }),
        None => Ok(()),
    }
}

/// The description in the file of a classifier.
fn described(file: &Path) -> Result<(Artifact, ClassifierHead), Error> {
    let path = || file.to_owned();
    let other = |found: String| WeightsError::Kind { path: path(), found, expected: "a classifier" };
    let artifact = Artifact::read(file)?.ok_or_else(|| other("weights without a description".into()))?;
    match artifact.kind.clone() {
        Kind::Classifier(head) => Ok((artifact, head)),
        kind => Err(other(kind.to_string()).into()),
    }
}

/// A classifier whose weights are about to be replaced.
fn network(
    artifact: &Artifact,
    head: &ClassifierHead,
    device: &Device,
) -> Result<Classifier<AnyEncoder>, Error> {
    let mut init = Init::new(0, device);
    let encoder = artifact.encoder.init(artifact.preprocessing.size, &mut init)?;
    let neck = (!head.neck.is_empty()).then(|| Mlp::init(encoder.feature_dim(), &head.neck, &mut init));
    Ok(Classifier::new(encoder, neck, head.classes, &mut init))
}

/// The test set that the record of a classifier names.
pub(crate) fn recorded_test(path: &Path) -> Result<Option<PathBuf>, Error> {
    let record = RunDir::open_classifier(path)?.classifier_record();
    let text = ssl_files::read_text(&record).map_err(|source| Error::Io { path: record.clone(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let reason = error.message().to_owned();
        Error::Train(TrainError::Meta { path: record, reason })
    })?;
    Ok(table.get("test").and_then(toml::Value::as_str).map(PathBuf::from))
}
