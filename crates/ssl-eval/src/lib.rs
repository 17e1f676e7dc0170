#![doc = include_str!("../README.md")]

mod accuracy;
mod classifier;
mod distillation;
mod error;
mod features;
mod fine_tuning;
mod fraction;
mod knn;
mod metrics;
mod mixing;
mod probe;
mod ridge;
mod segmentation;
#[cfg(test)]
mod testing;

pub use accuracy::Accuracy;
pub use classifier::{Classifier, linear_head};
pub use distillation::{Distillation, DistillationConfig};
pub use error::EvalError;
pub use features::{
    Embedder, Features, embed, embed_batch, embed_with, embed_with_indices, numbers_of_all, raw_pixels,
};
pub use fine_tuning::FineTuning;
pub use fraction::fraction;
pub use knn::{Knn, KnnConfig, knn, knn_among, neighbours};
pub use metrics::{alignment, rankme, uniformity, view_retrieval, view_retrieval_chance};
pub use mixing::MixingConfig;
pub use probe::{AttentivePool, Probe, ProbeHead, ProbeInput};
pub use ridge::{Ridge, ridge};
pub use segmentation::{PatchFeatures, Segmentation, segment};
pub use ssl_core::math::feature_std;
