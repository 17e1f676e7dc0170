#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;
mod nearest;

pub use config::NnClrConfig;
pub use loss::{NnClrInput, NnClrLoss, nnclr};
pub use model::{NnClr, NnClrState};
pub use nearest::nearest;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Head, Init, Loss, MethodRules, Pass, Progress, Queue, SslMethod, Step,
    StepContext, Views, WithPredictor, train_step,
};
