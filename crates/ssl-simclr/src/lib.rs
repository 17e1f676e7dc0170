#![doc = include_str!("../README.md")]

mod config;
mod dcl;
mod loss;
mod model;

pub use config::SimClrConfig;
pub use dcl::{Dcl, DclConfig, DclInput, DclLoss, dcl};
pub use loss::{NtXentInput, NtXentLoss, nt_xent};
pub use model::SimClr;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass, Progress,
    SslMethod, Step, StepContext, Views, train_step,
};
