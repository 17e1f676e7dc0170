//! What is exported: an encoder, and the classifier on it if there is one.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use ssl_core::{Encoder, Init, named};
use ssl_encoders::{AnyEncoder, Artifact, ClassifierHead};
use ssl_eval::Classifier;
use toml::Table;

use super::recipe;
use crate::classifier::{self, Teacher};
use crate::encoder::FoundEncoder;
use crate::{EncoderSource, EncoderSummary, Error, Methods, load_encoder};

type Tensors = BTreeMap<String, TensorData>;

/// The encoder of a run or of a classifier, with its description.
pub(super) struct Exported<E> {
    pub(super) network: Network<E>,
    /// The description of the encoder.
    pub(super) artifact: Artifact,
    pub(super) summary: EncoderSummary,
    /// How it was trained, without paths.
    pub(super) recipe: Table,
}

/// The network of a run.
pub(super) enum Network<E> {
    Encoder(Box<E>),
    Classifier(Box<Classifier<E>>, ClassifierHead),
}

impl Exported<AnyEncoder> {
    /// Reads the encoder of a run, or the classifier in a directory.
    pub(super) fn read(run: &Path, methods: &impl Methods, device: &Device) -> Result<Self, Error> {
        let source = EncoderSource::Run(run.to_owned());
        let found = source.find(methods)?;
        let artifact = found.artifact.clone().ok_or_else(|| Error::UnknownModel(run.to_owned()))?;
        let network = match classifier::is_classifier(run) {
            true => {
                let Teacher { network, head, .. } = Teacher::load(run, device)?;
                Network::Classifier(Box::new(network), head)
            }
            false => Network::Encoder(Box::new(found.open(artifact.preprocessing.size, device)?)),
        };
        let recipe = recipe::of_run(run)?;
        Ok(Self { network, artifact, summary: found.summary, recipe })
    }
}

impl<E: Encoder> Exported<E> {
    /// Reads the encoder of a finished run, whose network `encoder` makes.
    pub(super) fn of_outside(
        run: &Path,
        encoder: impl FnOnce(&mut Init) -> E,
        device: &Device,
    ) -> Result<Self, Error> {
        let (dir, found) = FoundEncoder::of_outside(&EncoderSource::Run(run.to_owned()))?;
        let artifact = found.artifact.clone().ok_or_else(|| Error::UnknownModel(run.to_owned()))?;
        let network = Network::Encoder(Box::new(load_encoder(&dir, encoder, device)?));
        let recipe = recipe::of_run(run)?;
        Ok(Self { network, artifact, summary: found.summary, recipe })
    }

    /// The encoder alone.
    pub(super) fn encoder(&self) -> &E {
        match &self.network {
            Network::Encoder(encoder) => encoder,
            Network::Classifier(network, _) => &network.encoder,
        }
    }

    /// The classifier's description, if there is one.
    pub(super) fn head(&self) -> Option<&ClassifierHead> {
        match &self.network {
            Network::Encoder(_) => None,
            Network::Classifier(_, head) => Some(head),
        }
    }

    /// All tensors: the encoder's, which are under `encoder.` if there is a classifier.
    pub(super) fn tensors(&self) -> Tensors {
        match &self.network {
            Network::Encoder(encoder) => named::collect(encoder.as_ref()),
            Network::Classifier(network, _) => named::collect(network.as_ref()),
        }
    }

    /// Length of the features.
    pub(super) fn feature_dim(&self) -> usize {
        self.encoder().feature_dim()
    }
}
