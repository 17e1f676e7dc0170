#![doc = include_str!("../README.md")]

mod any;
mod config;
pub mod convnext;
mod footprint;
mod models;
pub mod resnet;
pub mod vit;
pub mod weights;

pub use any::AnyEncoder;
pub use config::{EncoderConfig, EncoderError, StemChoice};
pub use convnext::{ConvNext, ConvNextConfig};
pub use footprint::EncoderFootprint;
pub use models::{Family, MODELS, ModelInfo};
pub use resnet::{BlockKind, ResNet, ResNetConfig, Stem};
pub use vit::{Pool, Positions, Vit, VitConfig, VitInit};
pub use weights::{Artifact, ClassifierHead, DataSummary, Kind, NameScheme, Preprocessing, Provenance};
