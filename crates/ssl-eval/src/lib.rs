#![doc = include_str!("../README.md")]

mod error;
mod features;
mod knn;
mod metrics;

pub use error::EvalError;
pub use features::{Features, embed, raw_pixels};
pub use knn::{Knn, KnnConfig, knn, knn_among};
pub use metrics::{alignment, rankme, uniformity};
pub use ssl_core::math::feature_std;
