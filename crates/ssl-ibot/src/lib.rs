#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::IBotConfig;
pub use loss::{IBotInput, IBotLoss, ibot};
pub use model::{Centers, IBot, IBotState, IBotStudent};
pub use ssl_core::loss::{mean_logits, next_center};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, HiddenPatches, Init, Loss, Mask, MethodRules, Pass, Progress,
    PrototypeHead, SslMethod, Step, StepContext, TokenEncoder, Views, train_step,
};
