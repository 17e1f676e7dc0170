//! An encoder as ONNX.

use ssl_core::{Activation as OurActivation, Encoder};
use ssl_encoders::{Artifact, ClassifierHead, EncoderConfig, Pool as OurPool, StemChoice};
use ssl_onnx::{Activation, Classifier, Input, Model, Network, Normalization, Pool, Tensor, Tensors};

use super::exported::Exported;
use super::format::GraphInput;
use crate::Error;

/// The bytes of a file.
pub(super) fn encode<E: Encoder>(exported: &Exported<E>, input: GraphInput) -> Result<Vec<u8>, Error> {
    let Exported { artifact, .. } = exported;
    let size = artifact.preprocessing.size;
    let description = serde_json::to_string(artifact).unwrap_or_default();
    let mut model = Model::new(network(&artifact.encoder, size)?, size)
        .with_input(graph_input(artifact, input))
        .with_metadata("burn-ssl", description);
    if let Some(head) = exported.head() {
        model = model.with_classifier(classifier(head));
        if let Some(names) = &head.class_names {
            model = model.with_metadata("class_names", serde_json::to_string(names).unwrap_or_default());
        }
    }
    Ok(model.encode(tensors(exported))?)
}

/// What the tensors do not tell of a network that [`ExportFormat::has`](super::ExportFormat::has) lets through.
fn network(config: &EncoderConfig, size: usize) -> Result<Network, Error> {
    if let Some(vit) = config.vit_config(size)? {
        let pool = match vit.pooling() {
            OurPool::Mean => Pool::Mean,
            _ => Pool::Class,
        };
        return Ok(Network::Vit { heads: vit.heads, pool });
    }
    Ok(match config.family() {
        Some(ssl_encoders::Family::ConvNext) => Network::ConvNext,
        _ => Network::ResNet { max_pool: config.stem == StemChoice::ImageNet },
    })
}

fn graph_input(artifact: &Artifact, input: GraphInput) -> Input {
    let normalization = Normalization { mean: artifact.preprocessing.mean, std: artifact.preprocessing.std };
    match input {
        GraphInput::Normalized => Input::Normalized,
        GraphInput::Unit => Input::Unit(normalization),
        GraphInput::Bytes => Input::Bytes(normalization),
    }
}

fn classifier(head: &ClassifierHead) -> Classifier {
    let activation = |activation| match activation {
        OurActivation::Relu => Activation::Relu,
        OurActivation::Gelu => Activation::Gelu,
        _ => Activation::None,
    };
    Classifier { neck: head.neck.iter().map(|layer| activation(layer.activation)).collect() }
}

fn tensors<E: Encoder>(exported: &Exported<E>) -> Tensors {
    let tensor = |data: burn::tensor::TensorData| Tensor::new(data.shape().to_vec(), data.iter().collect());
    exported.tensors().into_iter().map(|(name, data)| (name, tensor(data))).collect()
}
