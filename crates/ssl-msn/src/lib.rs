#![doc = include_str!("../README.md")]

mod anchors;
mod config;
mod loss;
mod model;

pub use config::MsnConfig;
pub use loss::{MsnInput, MsnLoss, assignments, msn, targets_of};
pub use model::{Msn, MsnStudent};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Init, Loss, Mask, MethodRules, Pass, Progress, SslMethod,
    Step, StepContext, TeacherState, TokenEncoder, Views, train_step,
};
