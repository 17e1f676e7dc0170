#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::ByolConfig;
pub use loss::{ByolInput, ByolLoss, byol};
pub use model::Byol;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, Teacher, TeacherState, Views, WithPredictor, train_step,
};
