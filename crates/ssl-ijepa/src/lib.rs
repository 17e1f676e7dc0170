#![doc = include_str!("../README.md")]

mod config;
mod loss;
mod model;
mod predictor;

pub use config::IJepaConfig;
pub use loss::{IJepaInput, IJepaLoss, ijepa, targets_of};
pub use model::{IJepa, IJepaStudent, TargetEncoder};
pub use predictor::{Predictor, PredictorInput};
pub use ssl_core::{
    ConfigError, DeviceSpec, Encoder, Init, Loss, Mask, MethodRules, Pass, Progress, SslMethod, Step,
    StepContext, TeacherState, TokenEncoder, Views, train_step,
};
