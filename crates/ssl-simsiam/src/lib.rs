#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::SimSiamConfig;
pub use loss::{SimSiamInput, SimSiamLoss, simsiam};
pub use model::SimSiam;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass, Progress,
    SslMethod, Step, StepContext, Views, WithPredictor, train_step,
};
