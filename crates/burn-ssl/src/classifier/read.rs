//! Classifiers as teachers.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init, Mlp, named};
use ssl_data::Dataset;
use ssl_encoders::AnyEncoder;
use ssl_encoders::weights::WeightsError;
use ssl_eval::Classifier;
use ssl_train::{RunDir, TrainError};

use super::ClassifierMetadata;
use crate::Error;

/// Reads the classifier of a directory, onto a device.
pub(crate) fn load(
    path: &Path,
    device: &Device,
) -> Result<(Classifier<AnyEncoder>, ClassifierMetadata), Error> {
    let file = RunDir::open_classifier(path)?.classifier();
    if !file.is_file() {
        return Err(Error::ClassifierNotFinished(path.into()));
    }
    let bytes = fs::read(&file).map_err(|source| Error::Io { path: file.clone(), source })?;
    let damaged = |reason: String| WeightsError::Format { path: file.clone(), reason };
    let (tensors, json) = named::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
    let metadata: ClassifierMetadata = serde_json::from_str(&json)
        .map_err(|error| damaged(format!("its metadata is of another version ({error})")))?;
    let mut init = Init::new(0, device);
    let encoder = metadata.encoder.encoder.init(metadata.encoder.image_size, &mut init)?;
    let neck =
        (!metadata.neck.is_empty()).then(|| Mlp::init(encoder.feature_dim(), &metadata.neck, &mut init));
    let network = Classifier::new(encoder, neck, metadata.classes, &mut init);
    let network = named::load(network, tensors)
        .map_err(|source| WeightsError::Tensor { path: file.clone(), source })?;
    Ok((network, metadata))
}

/// The test set that the record of a classifier names.
pub(crate) fn recorded_test(path: &Path) -> Result<Option<PathBuf>, Error> {
    let record = RunDir::open_classifier(path)?.classifier_record();
    let text = fs::read_to_string(&record).map_err(|source| Error::Io { path: record.clone(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let reason = error.message().to_owned();
        Error::Train(TrainError::Meta { path: record, reason })
    })?;
    Ok(table.get("test").and_then(toml::Value::as_str).map(PathBuf::from))
}

impl ClassifierMetadata {
    /// Numbers the labels of a set as the classifier does, and checks that it knows all of them.
    pub(crate) fn match_labels(&self, set: &mut Dataset) -> Result<(), Error> {
        if let Some(names) = &self.class_names {
            set.match_labels(names)?;
        }
        let known = |label: &i64| (0..self.classes as i64).contains(label);
        match set.labels().unwrap_or_default().iter().find(|label| !known(label)) {
            Some(&label) => Err(Error::UnknownLabel { label, classes: self.classes }),
            None => Ok(()),
        }
    }
}
