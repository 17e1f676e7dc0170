#![doc = include_str!("../README.md")]

mod config;
mod head;
mod loss;
mod model;

pub use config::DinoConfig;
pub use head::{DinoHead, WeightNormLinear};
pub use loss::{DinoInput, DinoLoss, dino, mean_logits, next_center};
pub use model::{Dino, DinoState, DinoStudent};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, Views, train_step,
};
