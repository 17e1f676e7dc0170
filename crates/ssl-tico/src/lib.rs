#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::TiCoConfig;
pub use loss::{TiCoInput, TiCoLoss, next_covariance, tico};
pub use model::{TiCo, TiCoState};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, Teacher, Views, train_step,
};
