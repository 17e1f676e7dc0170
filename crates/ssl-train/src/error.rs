//! Why a run cannot start, continue or be resumed.

use std::io;
use std::path::PathBuf;

use ssl_core::ConfigError;
use ssl_core::named::NamedError;
use ssl_data::DataError;

use crate::EvaluationError;

/// Why a run cannot start, continue or be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A value out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data set or the loader.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Evaluation failed.
    #[error("evaluation failed: {0}")]
    Evaluation(EvaluationError),
    /// Processes that cannot share a batch.
    #[error(
        "a micro-batch has {batch} images, expected a multiple of the {processes} processes that share it"
    )]
    Share {
        /// Images of a micro-batch.
        batch: usize,
        /// Processes that train together.
        processes: usize,
    },
    /// The batch cannot be cut into equal micro-batches.
    #[error("batch_size is {batch}, expected a multiple of train.accumulate, which is {accumulate}")]
    Accumulate {
        /// Images per step.
        batch: usize,
        /// Micro-batches per step.
        accumulate: usize,
    },
    /// A micro-batch cannot be cut into equal chunks.
    #[error(
        "a micro-batch has {batch} images (schedule.batch_size / train.accumulate), expected a multiple of train.embed_chunk, which is {chunk}"
    )]
    Chunk {
        /// Images in a micro-batch.
        batch: usize,
        /// Images in a chunk.
        chunk: usize,
    },
    /// The method cannot embed a batch in chunks: its loss needs more than the embeddings.
    #[error(
        "train.embed_chunk is {chunk}, expected no such key: this method cannot embed a batch in chunks (train.accumulate also saves memory)"
    )]
    NoChunks {
        /// Images in a chunk.
        chunk: usize,
    },
    /// The loader and the schedule disagree on the batch size.
    #[error(
        "the loader gives batches of {found} images, expected {expected} (schedule.batch_size / train.accumulate)"
    )]
    Batch {
        /// Images in a batch of the loader.
        found: usize,
        /// Images in a micro-batch of the schedule.
        expected: usize,
    },
    /// The method needs a different number of views.
    #[error("the recipe makes {found} views per image, and this method needs {expected}")]
    Views {
        /// Views per image.
        found: usize,
        /// What the method needs, in words.
        expected: String,
    },
    /// The method needs labels.
    #[error(
        "this method needs labels, and the data set has none: expected a folder or archive with one folder per class, or a list with labels"
    )]
    Labels,
    /// The method needs masks.
    #[error("this method hides patches, and the views have no masks: expected a section [mask]")]
    Masks,
    /// The method needs an encoder with tokens.
    #[error(
        "this method needs an encoder with a token for every patch, and {0} has none: expected a ViT, such as vit-small"
    )]
    Tokens(String),
    /// The loss is no longer finite.
    #[error(
        "the loss is {loss} at step {step}: expected a finite number; try a lower learning rate (checkpoints/last is from before)"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The loss is no longer finite, in a run without checkpoints.
    #[error("the loss is {loss} at step {step}: expected a finite number; try a lower learning rate")]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The run directory already exists.
    #[error("{} already exists: expected a new directory, or resume or overwrite to be set", .0.display())]
    Exists(PathBuf),
    /// There is no run to resume.
    #[error("there is no run to resume in {}: expected the directory of a run, with recipe.toml in it", .0.display())]
    NoRun(PathBuf),
    /// There is no classifier.
    #[error("there is no classifier in {}: expected the directory of a fine-tuned or distilled classifier, with classifier.toml in it", .0.display())]
    NoClassifier(PathBuf),
    /// A file cannot be written or read.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// There is no checkpoint to read a network from.
    #[error("there is no checkpoint in {}: expected the directory `last`, which every run writes", .0.display())]
    NoCheckpoint(PathBuf),
    /// A file of a checkpoint does not fit the run.
    #[error("checkpoint {} does not fit this run: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: NamedError,
    },
    /// A checkpoint's description is damaged.
    #[error("checkpoint {} is damaged: {reason}", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl TrainError {
    /// Turns an answer of the operating system about `path` into an error.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
