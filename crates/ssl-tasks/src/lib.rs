#![doc = include_str!("../README.md")]

mod advice;
mod auto;
mod classifier;
mod classify;
mod columns;
mod compare;
mod dedup;
pub mod demo;
mod distill;
mod embeddings;
mod encoder;
mod error;
mod evaluation;
pub mod export;
mod files;
mod finetune;
mod first;
mod html;
pub mod images;
mod knn;
mod linear;
pub mod memory;
pub mod methods;
mod overlap;
mod preparation;
mod pretrain;
mod provenance;
pub mod recipe;
mod report;
mod runs;
mod segment;
mod self_check;
mod sets;
mod sheet;
mod similar;
mod threads;

pub use advice::{Advice, Assignment, Severity};
pub use auto::{AutoOptions, choose_auto, choose_auto_for};
pub use classify::{Classified, ClassifyOptions, ClassifyReport, Scored, classify};
pub use columns::columns;
pub use compare::{CompareOptions, CompareReport, ComparedRun, Difference, OfSeeds, Spread, compare};
pub use dedup::{DedupOptions, DedupReport, dedup};
pub use distill::{DistillOptions, DistillReport, distill};
pub use embeddings::{EmbedOptions, EmbedReport, embed_images, embed_images_with};
pub use encoder::{EncoderOrigin, EncoderSource, EncoderSummary, load_encoder};
pub use error::Error;
pub use finetune::{FinetuneOptions, FinetuneProtocol, FinetuneReport, finetune};
pub use html::{HtmlReport, HtmlReportOptions, html_report};
pub use knn::{KnnOptions, KnnReport, evaluate_knn};
pub use linear::{LinearOptions, LinearReport, Protocol, linear_probe};
pub use methods::{Methods, WithMethod};
pub use preparation::PreprocessingOptions;
pub use pretrain::{
    Learned, PlanOptions, PlanReport, Planned, PretrainOptions, Report, Verdict, plan, plan_encoder,
    plan_with, pretrain, pretrain_encoder, pretrain_with,
};
pub use recipe::Recipe;
pub use report::RunReport;
pub use runs::{ListedRun, RunState, RunsOptions, RunsOrder, RunsReport, runs};
pub use segment::{SegmentOptions, SegmentReport, segment};
pub use sets::SetOptions;
pub use sheet::{PreviewOptions, PreviewReport, preview};
pub use similar::{Found, Neighbour, SimilarOptions, SimilarReport, similar};
pub use ssl_files::escaped;
pub use ssl_train::{NoObserver, Observer};
