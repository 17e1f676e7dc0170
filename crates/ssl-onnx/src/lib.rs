#![doc = include_str!("../README.md")]

mod classifier;
mod convnext;
mod error;
mod graph;
mod input;
mod layers;
mod messages;
mod model;
mod resnet;
mod tensor;
mod vit;

pub use classifier::{Activation, Classifier};
pub use error::OnnxError;
pub use input::{Input, Normalization};
pub use model::{Model, Network, OPSET, Pool};
pub use tensor::{Tensor, Tensors};
