#![doc = include_str!("../README.md")]

mod commands;
pub mod prelude;
pub mod recipe;
pub mod registry;

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

pub use commands::{finetune, pretrain, pretrain_encoder, pretrain_with, preview};
pub use ssl_core::tune_process;
pub use ssl_tasks::{
    DistillOptions, DistillReport, EmbedOptions, EmbedReport, EncoderSource, Error, FinetuneOptions,
    FinetuneReport, KnnOptions, KnnReport, LinearOptions, LinearReport, NoObserver, Observer,
    PreprocessingOptions, PretrainOptions, PreviewOptions, PreviewReport, Recipe, Report, RunReport,
    SetOptions, distill, embed_images, embed_images_with, evaluate_knn, linear_probe, load_encoder,
};
pub use ssl_tasks::{export, images, memory};

/// The demonstration: pretraining on rendered images.
pub mod demo {
    pub use ssl_tasks::demo::{DemoOptions, DemoReport};

    pub use crate::commands::demo;
}
