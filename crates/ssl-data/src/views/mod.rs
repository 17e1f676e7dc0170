//! From a decoded image to normalised views: what a recipe declares, checks of it, and rendering.

mod config;
mod error;
mod eval;
mod pipeline;
mod random;

pub use config::{OpConfig, ViewConfig};
pub use error::{MAX_KERNEL_SIZE, MAX_VIEW_SIZE, MAX_VIEWS, ViewError};
pub use eval::EvalTransform;
pub use pipeline::{Scratch, Views};
