#![doc = include_str!("../README.md")]

mod config;
mod decoder;
mod loss;
mod model;

pub use config::MaeConfig;
pub use decoder::{Decoder, DecoderInput};
pub use loss::{MaeInput, MaeLoss, mae};
pub use model::{Mae, MaeStudent};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Init, Loss, Mask, MaskError, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, TokenEncoder, Views, train_step,
};
