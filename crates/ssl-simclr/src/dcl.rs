//! Decoupled contrastive learning: SimCLR with another loss.

mod config;
mod loss;
mod model;

pub use config::DclConfig;
pub use loss::{DclInput, DclLoss, dcl};
pub use model::Dcl;
