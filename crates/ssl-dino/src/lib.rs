#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::DinoConfig;
pub use loss::{DinoInput, DinoLoss, dino};
pub use model::{Dino, DinoState, DinoStudent};
pub use ssl_core::loss::{mean_logits, next_center};
pub use ssl_core::nn::WeightNormLinear;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress,
    PrototypeHead as DinoHead, SslMethod, Step, StepContext, Views, train_step,
};
