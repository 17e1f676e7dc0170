//! Transformer blocks, which encoders, decoders and predictors of tokens are made of.

mod attention;
mod block;
mod drop_path;
mod layer_scale;

pub use attention::Attention;
pub use block::{FeedForward, TransformerBlock};
pub use drop_path::DropPath;
pub use layer_scale::LayerScale;
