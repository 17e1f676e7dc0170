#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;
mod shuffle;
mod v3;

pub use config::MoCoConfig;
pub use loss::{MoCoInput, MoCoLoss, moco};
pub use model::{MoCo, MoCoState};
pub use ssl_core::{
    ConfigError, DeviceSpec, Draws, Encoder, EncoderWith, Head, Init, Loss, MethodRules, Pass, Progress,
    Queue, SslMethod, Step, StepContext, Teacher, Views, train_step,
};
pub use v3::{MoCoV3, MoCoV3Config, MoCoV3Heads, MoCoV3Input, MoCoV3Loss, moco_v3};
