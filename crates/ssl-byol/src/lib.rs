#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::ByolConfig;
pub use loss::{ByolInput, ByolLoss, byol};
pub use model::{Byol, ByolState, ByolStudent, ByolTarget};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Head, Init, Loss, Mode, Progress, SslMethod, Step, StepContext,
    Teacher, Views,
};
