#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::BarlowTwinsConfig;
pub use loss::{BarlowTwinsInput, BarlowTwinsLoss, barlow_twins};
pub use model::BarlowTwins;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass, Progress,
    SslMethod, Step, StepContext, Views, train_step,
};
