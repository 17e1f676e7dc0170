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
#[cfg(feature = "dinov2")]
pub use ssl_dinov2 as dinov2;
pub use ssl_dist as dist;
#[cfg(feature = "distill-features")]
pub use ssl_distill_features as distill_features;
pub use ssl_encoders as encoders;
pub use ssl_eval as eval;
#[cfg(feature = "ibot")]
pub use ssl_ibot as ibot;
#[cfg(feature = "ijepa")]
pub use ssl_ijepa as ijepa;
#[cfg(feature = "lejepa")]
pub use ssl_lejepa as lejepa;
#[cfg(feature = "mae")]
pub use ssl_mae as mae;
#[cfg(feature = "moco")]
pub use ssl_moco as moco;
#[cfg(feature = "msn")]
pub use ssl_msn as msn;
#[cfg(feature = "nnclr")]
pub use ssl_nnclr as nnclr;
#[cfg(feature = "simclr")]
pub use ssl_simclr as simclr;
#[cfg(feature = "simmim")]
pub use ssl_simmim as simmim;
#[cfg(feature = "simsiam")]
pub use ssl_simsiam as simsiam;
#[cfg(feature = "supcon")]
pub use ssl_supcon as supcon;
#[cfg(feature = "swav")]
pub use ssl_swav as swav;
#[cfg(feature = "tico")]
pub use ssl_tico as tico;
pub use ssl_train as train;
#[cfg(feature = "vicreg")]
pub use ssl_vicreg as vicreg;

pub use commands::{
    choose_auto, dedup, embed_images, evaluate_knn, finetune, html_report, html_report_with, linear_probe,
    plan, plan_encoder, plan_with, plan_with_encoder, pretrain, pretrain_encoder, pretrain_with,
    pretrain_with_encoder, preview, segment, similar,
};
pub use ssl_core::{share_cores, tune_process};
pub use ssl_tasks::{
    Advice, Assignment, AutoOptions, Classified, ClassifyOptions, ClassifyReport, CompareOptions,
    CompareReport, ComparedRun, DedupOptions, DedupReport, Difference, DistillOptions, DistillReport,
    EmbedOptions, EmbedReport, EncoderOrigin, EncoderSource, EncoderSummary, Error, FinetuneOptions,
    FinetuneProtocol, FinetuneReport, Found, HtmlReport, HtmlReportOptions, KnnOptions, KnnReport, Learned,
    LinearOptions, LinearReport, ListedRun, Neighbour, NoObserver, Observer, OfSeeds, PlanOptions,
    PlanReport, Planned, PreprocessingOptions, PretrainOptions, PreviewOptions, PreviewReport, Protocol,
    Recipe, Report, RunReport, RunState, RunsOptions, RunsOrder, RunsReport, Scored, SegmentOptions,
    SegmentReport, SetOptions, Severity, SimilarOptions, SimilarReport, Spread, Verdict, choose_auto_for,
    classify, columns, compare, dedup_with, distill, embed_images_with, escaped, load_encoder, runs,
    similar_with,
};
pub use ssl_tasks::{images, memory};

/// The encoder of a run as a file for other libraries.
pub mod export {
    pub use ssl_tasks::export::{ExportFormat, ExportOptions, ExportReport, GraphInput, export_with};

    pub use crate::commands::export;
}

/// The demonstration: pretraining on rendered images.
pub mod demo {
    pub use ssl_tasks::demo::{DemoOptions, DemoReport};

    pub use crate::commands::demo;
}
