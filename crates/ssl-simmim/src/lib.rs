#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::SimMimConfig;
pub use loss::{SimMimInput, SimMimLoss, simmim};
pub use model::{SimMim, SimMimStudent};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Init, Loss, Mask, MaskError, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, TokenEncoder, Views, train_step,
};
