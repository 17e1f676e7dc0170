#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::SupConConfig;
pub use loss::{SupConInput, SupConLoss, sup_con};
pub use model::SupCon;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass, Progress,
    SslMethod, Step, StepContext, Views, train_step,
};
