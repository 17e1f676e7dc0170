#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;
mod queue;

pub use config::SwavConfig;
pub use loss::{SwavInput, SwavLoss, swav};
pub use model::{Swav, SwavState, SwavStudent};
pub use queue::CropQueue;
pub use ssl_core::loss::sinkhorn;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, Views, train_step,
};
