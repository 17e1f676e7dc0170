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
pub mod prelude;
mod preparation;
mod pretrain;
mod provenance;
pub mod recipe;
pub mod registry;
mod report;
mod sets;
mod sheet;

#[cfg(feature = "barlow-twins")]
pub use ssl_barlow_twins as barlow_twins;
#[cfg(feature = "byol")]
pub use ssl_byol as byol;
pub use ssl_core as core;
pub use ssl_data as data;
#[cfg(feature = "dino")]
pub use ssl_dino as dino;
pub use ssl_encoders as encoders;
pub use ssl_eval as eval;
#[cfg(feature = "moco")]
pub use ssl_moco as moco;
#[cfg(feature = "simclr")]
pub use ssl_simclr as simclr;
#[cfg(feature = "simsiam")]
pub use ssl_simsiam as simsiam;
#[cfg(feature = "supcon")]
pub use ssl_supcon as supcon;
#[cfg(feature = "swav")]
pub use ssl_swav as swav;
pub use ssl_train as train;

pub use distill::{DistillOptions, DistillReport, distill};
pub use embeddings::{EmbedOptions, EmbedReport, embed_images, embed_images_with};
pub use encoder::{EncoderSource, load_encoder};
pub use error::Error;
pub use finetune::{FinetuneOptions, FinetuneReport, finetune};
pub use knn::{KnnOptions, KnnReport, evaluate_knn};
pub use linear::{LinearOptions, LinearReport, linear_probe};
pub use preparation::PreprocessingOptions;
pub use pretrain::{PretrainOptions, Report, pretrain, pretrain_encoder, pretrain_with};
pub use recipe::Recipe;
pub use report::RunReport;
pub use sets::SetOptions;
pub use sheet::{PreviewOptions, PreviewReport, preview};
pub use ssl_core::tune_process;
pub use ssl_train::{NoObserver, Observer};
