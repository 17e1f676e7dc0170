//! Naming schemes of weight files.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use serde::Serialize;
use ssl_core::names;

use super::timm;
use crate::{EncoderConfig, Family};

type Tensors = BTreeMap<String, TensorData>;

/// Whose names the tensors of a weight file have, for reading and writing.
///
/// Our names are torchvision's for ResNets and timm's for ViTs and ConvNeXts, except for ViTs with registers, which use DINOv2's.
/// [`load`](super::load) reads files of every scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NameScheme {
    /// torchvision's: ResNets.
    #[default]
    Torchvision,
    /// timm's: ViTs, ResNets and ConvNeXts.
    Timm,
    /// Ours, for every encoder.
    Safetensors,
}

names!(NameScheme: "names" { Torchvision = "torchvision", Timm = "timm", Safetensors = "safetensors" });

impl NameScheme {
    /// All schemes.
    pub const ALL: [Self; 3] = [Self::Torchvision, Self::Timm, Self::Safetensors];

    /// Whether the library has a network with this encoder's tensors.
    pub fn has(self, config: &EncoderConfig) -> bool {
        match self {
            Self::Torchvision => config.family() == Some(Family::ResNet) && !config.selective_kernel,
            Self::Timm => config.family().is_some() && !config.selective_kernel,
            Self::Safetensors => true,
        }
    }

    /// Converts an encoder's tensors from our names to those of the scheme.
    pub(super) fn to_theirs(self, tensors: Tensors) -> Tensors {
        match self {
            Self::Timm => timm::to_timm(tensors),
            Self::Torchvision | Self::Safetensors => tensors,
        }
    }

    /// Converts an encoder's tensors from any scheme to our names; [`names::select`](super::names) has already
    /// translated those that differ only in name.
    pub(super) fn to_ours(mut tensors: Tensors) -> Tensors {
        timm::unfold_class_position(&mut tensors);
        flatten_factors(&mut tensors);
        tensors
    }

    /// The names of the classifiers on the library's networks, which files hold next to the encoder.
    pub(super) fn classifiers(self) -> &'static [&'static str] {
        match self {
            Self::Torchvision => &["fc"],
            Self::Timm => &["fc", "head", "head_dist"],
            Self::Safetensors => &["head"],
        }
    }
}

/// Gives the factors of a ConvNeXt's branches one axis: torchvision's have three, `[dim, 1, 1]`.
fn flatten_factors(tensors: &mut Tensors) {
    for (name, tensor) in tensors.iter_mut() {
        let shape = tensor.shape().to_vec();
        if name.ends_with(".gamma") && shape.len() == 3 && shape[1..] == [1, 1] {
            *tensor = TensorData::new::<f32, _>(tensor.iter().collect(), [shape[0]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_survives_a_round_trip_through_its_text() {
        for scheme in NameScheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
            assert_eq!(serde_json::to_value(scheme).expect("JSON"), scheme.to_string());
        }
        let error = "onnx".parse::<NameScheme>().expect_err("unknown").to_string();
        assert_eq!(error, "unknown names 'onnx': expected torchvision, timm or safetensors");
    }

    #[test]
    fn a_scheme_has_the_networks_of_its_library() {
        let vit = EncoderConfig::named("vit-tiny");
        let selective = EncoderConfig { selective_kernel: true, ..EncoderConfig::named("resnet50") };
        let has = |config: &EncoderConfig| NameScheme::ALL.map(|scheme| scheme.has(config));
        assert_eq!(has(&EncoderConfig::named("resnet50")), [true, true, true]);
        assert_eq!(has(&vit), [false, true, true]);
        assert_eq!(has(&EncoderConfig::named("convnext-tiny")), [false, true, true]);
        assert_eq!(has(&selective), [false, false, true]);
        assert_eq!(has(&EncoderConfig::named("small-net")), [false, false, true], "nobody has it");
    }
}
