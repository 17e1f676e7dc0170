//! MoCo v3: no queue, a predictor, and both directions; designed for vision transformers as well as ResNets.

mod config;
mod loss;
mod model;

pub use config::{MoCoV3Config, MoCoV3Heads};
pub use loss::{MoCoV3Input, MoCoV3Loss, moco_v3};
pub use model::MoCoV3;
