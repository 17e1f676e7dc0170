#![doc = include_str!("../README.md")]

mod classifier;
pub mod demo;
mod distill;
mod embeddings;
mod encoder;
mod error;
mod evaluation;
pub mod export;
mod files;
mod finetune;
pub mod images;
mod knn;
mod linear;
pub mod methods;
mod preparation;
mod pretrain;
mod provenance;
pub mod recipe;
mod report;
mod sets;
mod sheet;

pub use distill::{DistillOptions, DistillReport, distill};
pub use embeddings::{EmbedOptions, EmbedReport, embed_images, embed_images_with};
pub use encoder::{EncoderSource, load_encoder};
pub use error::Error;
pub use finetune::{FinetuneOptions, FinetuneReport, finetune};
pub use knn::{KnnOptions, KnnReport, evaluate_knn};
pub use linear::{LinearOptions, LinearReport, linear_probe};
pub use methods::{Methods, WithMethod};
pub use preparation::PreprocessingOptions;
pub use pretrain::{PretrainOptions, Report, pretrain, pretrain_encoder, pretrain_with};
pub use recipe::Recipe;
pub use report::RunReport;
pub use sets::SetOptions;
pub use sheet::{PreviewOptions, PreviewReport, preview};
pub use ssl_train::{NoObserver, Observer};
