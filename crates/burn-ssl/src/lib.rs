#![doc = include_str!("../README.md")]

pub mod demo;
mod encoder;
mod error;
mod evaluation;
pub mod export;
mod files;
pub mod images;
mod knn;
pub mod prelude;
mod pretrain;
pub mod recipe;
pub mod registry;
mod sheet;

pub use ssl_core as core;
pub use ssl_data as data;
pub use ssl_encoders as encoders;
pub use ssl_eval as eval;
#[cfg(feature = "simclr")]
pub use ssl_simclr as simclr;
pub use ssl_train as train;

pub use encoder::EncoderSource;
pub use error::Error;
pub use knn::{KnnOptions, KnnReport, evaluate_knn};
pub use pretrain::{NoObserver, Observer, PretrainOptions, Report, pretrain};
pub use recipe::Recipe;
pub use sheet::{PreviewOptions, preview};
