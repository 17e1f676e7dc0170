#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::VicRegConfig;
pub use loss::{VicRegInput, VicRegLoss, vicreg};
pub use model::VicReg;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass, Progress,
    SslMethod, Step, StepContext, Views, train_step,
};
