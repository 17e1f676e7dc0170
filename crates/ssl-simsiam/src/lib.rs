#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::SimSiamConfig;
pub use loss::{SimSiamInput, SimSiamLoss, simsiam};
pub use model::{SimSiam, SimSiamStudent};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Head, Init, Loss, Mode, NoState, Progress, SslMethod, Step,
    StepContext, Views,
};
