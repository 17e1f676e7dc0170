//! What an encoder can be exported as.

use serde::Serialize;
use ssl_core::names;
use ssl_encoders::{EncoderConfig, Family, NameScheme, StemChoice};

/// What an encoder is exported as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExportFormat {
    /// safetensors with torchvision's names: ResNets.
    #[default]
    Torchvision,
    /// safetensors with timm's names: ViTs, ResNets and ConvNeXts.
    Timm,
    /// safetensors with our names, for every encoder.
    Safetensors,
    /// ONNX, opset 17: every encoder without selective kernels, with the classifier if there is one.
    Onnx,
    /// A folder that `timm.create_model("local-dir:...", pretrained=True)` loads, with the classifier if there is one: the networks
    /// that timm can make by arguments.
    TimmDir,
}

names!(ExportFormat: "format" {
    Torchvision = "torchvision",
    Timm = "timm",
    Safetensors = "safetensors",
    Onnx = "onnx",
    TimmDir = "timm-dir",
});

/// What goes into the graph of an ONNX file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GraphInput {
    /// Normalised pixels: float32, `[batch, 3, height, width]`.
    #[default]
    Normalized,
    /// RGB from 0 to 1: float32, `[batch, 3, height, width]`.
    Unit,
    /// RGB from 0 to 255: uint8, `[batch, height, width, 3]`.
    Bytes,
}

names!(GraphInput: "input" { Normalized = "normalized", Unit = "unit", Bytes = "bytes" });

impl ExportFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Torchvision, Self::Timm, Self::Safetensors, Self::Onnx, Self::TimmDir];

    /// The names of a file of tensors; none for the others.
    pub fn scheme(self) -> Option<NameScheme> {
        match self {
            Self::Torchvision => Some(NameScheme::Torchvision),
            Self::Timm => Some(NameScheme::Timm),
            Self::Safetensors => Some(NameScheme::Safetensors),
            Self::Onnx | Self::TimmDir => None,
        }
    }

    /// Whether an encoder can be exported as this.
    pub fn has(self, config: &EncoderConfig) -> bool {
        match self {
            Self::Onnx => config.family().is_some() && !config.selective_kernel,
            Self::TimmDir => is_timms(config),
            Self::Torchvision => NameScheme::Torchvision.has(config),
            Self::Timm => NameScheme::Timm.has(config),
            Self::Safetensors => true,
        }
    }
}

/// Whether timm makes the network from a name and arguments: its ResNets have one width and one stem, its ConvNeXts one stem.
fn is_timms(config: &EncoderConfig) -> bool {
    let small = config.stem == StemChoice::Cifar;
    match config.family() {
        Some(Family::ResNet) => config.width == 64 && !small && !config.selective_kernel,
        Some(Family::ConvNext) => !small,
        Some(Family::Vit) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_survives_a_round_trip_through_its_text() {
        for format in ExportFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).expect("JSON"), format.to_string());
        }
        for input in GraphInput::NAMES {
            assert_eq!(input.parse::<GraphInput>().map(|input| input.to_string()), Ok((*input).to_owned()));
        }
    }

    #[test]
    fn a_format_has_the_networks_that_its_readers_make() {
        let has = |config: &EncoderConfig| ExportFormat::ALL.map(|format| format.has(config));
        let large = EncoderConfig { stem: StemChoice::ImageNet, ..EncoderConfig::named("resnet50") };
        assert_eq!(has(&large), [true; 5]);
        let small = EncoderConfig { stem: StemChoice::Cifar, ..large.clone() };
        let narrow = EncoderConfig { width: 16, ..large.clone() };
        assert_eq!([has(&small), has(&narrow)], [[true, true, true, true, false]; 2]);
        let selective = EncoderConfig { selective_kernel: true, ..large };
        assert_eq!(has(&selective), [false, false, true, false, false]);
        assert_eq!(has(&EncoderConfig::named("vit-tiny")), [false, true, true, true, true]);
        let convnext = EncoderConfig { stem: StemChoice::Cifar, ..EncoderConfig::named("convnext-tiny") };
        assert_eq!(has(&convnext), [false, true, true, true, false]);
    }
}
