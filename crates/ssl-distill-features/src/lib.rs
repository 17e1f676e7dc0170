#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;

pub use config::{Adapter, DistillFeaturesConfig};
pub use loss::{Distance, DistillFeaturesInput, DistillFeaturesLoss, TeacherNorm, distill_features};
pub use model::{DistillFeatures, DistillFeaturesStudent};
pub use ssl_core::frozen::Frozen;
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Features, FrozenEncoder, Init, Loss, MethodRules, Pass, Progress,
    SslMethod, Step, StepContext, TokenEncoder, Views, train_step,
};
