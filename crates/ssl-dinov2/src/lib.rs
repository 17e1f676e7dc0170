#![doc = include_str!("../README.md")]

mod centering;
mod config;
mod footprint;
mod loss;
mod model;

pub use centering::{Centering, Means};
pub use config::DinoV2Config;
pub use loss::{DinoV2Input, DinoV2Loss, DinoV2Terms};
pub use model::{DinoV2, DinoV2State, DinoV2Student};
pub use ssl_core::loss::{koleo, sinkhorn};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, HiddenPatches, Init, Loss, Mask, MethodRules, Pass, Progress,
    PrototypeHead, SslMethod, Step, StepContext, TokenEncoder, Views, train_step,
};
