#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;
mod sigreg;

pub use config::LeJepaConfig;
pub use loss::{LeJepaInput, LeJepaLoss};
pub use model::LeJepa;
pub use sigreg::SigReg;
pub use ssl_core::{
    ConfigError, DeviceSpec, Draws, Encoder, EncoderWith, Head, Init, Loss, MethodRules, NoState, Pass,
    Progress, SslMethod, Step, StepContext, Views, train_step,
};
