//! Why a run cannot start, continue or be resumed.

use std::io;
use std::path::PathBuf;

use ssl_core::ConfigError;
use ssl_core::named::NamedError;
use ssl_data::DataError;

use crate::{DamagedCheckpoint, EvaluationError, Finding};

/// Why a run cannot start, continue or be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data set or the loader failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Evaluation failed.
    #[error("evaluation failed: {0}")]
    Evaluation(EvaluationError),
    /// The processes cannot share a batch equally.
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
        "train.embed_chunk is {chunk}, expected no such key: this method cannot embed a batch in chunks (train.accumulate saves memory too)"
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
        "the loss is {loss} at step {step}: expected a finite number; try a lower optimizer.lr, more schedule.warmup_epochs or optimizer.clip_norm{}",
        good(last_good)
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
        /// The newest intact checkpoint, if there is one.
        last_good: Option<PathBuf>,
    },
    /// The processes of a run do not have the same run.
    #[error(
        "rank {rank} has another recipe, another network, other images or another checkpoint than rank 0: expected every process to see the same files under the same paths"
    )]
    OtherRun {
        /// The first process that differs.
        rank: usize,
    },
    /// The processes of a run have different weights.
    #[error(
        "after step {step} rank {rank} has other weights than rank 0, so nothing was saved: expected the same kind of processor, library and device in every process"
    )]
    Drift {
        /// The step.
        step: u64,
        /// The first process that differs.
        rank: usize,
    },
    /// The weights are no longer finite.
    #[error(
        "tensor '{tensor}' is not finite after step {step}, so nothing was saved: expected finite weights; try a lower optimizer.lr, more schedule.warmup_epochs or optimizer.clip_norm{}",
        good(last_good)
    )]
    WeightsNotFinite {
        /// The step.
        step: u64,
        /// The first tensor that is not finite.
        tensor: String,
        /// The newest intact checkpoint, if there is one.
        last_good: Option<PathBuf>,
    },
    /// The run has collapsed, and was to stop then.
    #[error(
        "{} ({}: {}, since step {}), so the run was stopped after step {step} and nothing was saved ({}): expected a recipe that does not collapse, such as one with {}",
        finding.cause, finding.rule, finding.evidence, finding.since, before(last_good, finding.since), finding.remedy
    )]
    Collapsed {
        /// The step.
        step: u64,
        /// What was found.
        finding: Box<Finding>,
        /// The newest intact checkpoint from before the first row that shows it, if there is one.
        last_good: Option<PathBuf>,
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
    /// A directory holds files that no run wrote.
    #[error("{} has files named like those of a run, but no run wrote them: expected a new directory, or the directory of a run to overwrite", .0.display())]
    NotARun(PathBuf),
    /// Another process writes to the directory.
    #[error("{} is in use by {holder}: expected one process at a time", run.display())]
    Running {
        /// The directory.
        run: PathBuf,
        /// The other process, in words.
        holder: String,
    },
    /// The directory was removed while a run wrote to it.
    #[error("{} was removed or replaced during the run: expected the directory to stay until the run ends", .0.display())]
    Gone(PathBuf),
    /// There is no run.
    #[error("there is no run in {}: expected the directory of a run, with the recipe.toml that it wrote", .0.display())]
    NoRun(PathBuf),
    /// There is no classifier.
    #[error("there is no classifier in {}: expected the directory of a fine-tuned or distilled classifier, with classifier.toml in it", .0.display())]
    NoClassifier(PathBuf),
    /// A file cannot be written or read.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no checkpoint to read a network from.
    #[error("there is no checkpoint in {}: expected the directory `last`, which every run writes", .0.display())]
    NoCheckpoint(PathBuf),
    /// A run is finished, and has no checkpoint any more.
    #[error("the run is finished and has no checkpoint to go on from: found {}, expected its checkpoints in {}, or another directory for a new run", result.display(), checkpoints.display())]
    NothingToGoOnFrom {
        /// What the run made.
        result: PathBuf,
        /// Where its checkpoints were.
        checkpoints: PathBuf,
    },
    /// All checkpoints are damaged.
    #[error("no checkpoint in {} is intact ({}): expected a copy of one, or a new run", folder.display(), in_words(damaged))]
    NoIntactCheckpoint {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// What is wrong with each.
        damaged: Vec<DamagedCheckpoint>,
    },
    /// The run ends before its checkpoint.
    #[error("{} is from step {step}, and the run ends after {total} (schedule.epochs, schedule.max_steps): expected the run to end no earlier than its checkpoint", path.display())]
    PastTheEnd {
        /// The checkpoint.
        path: PathBuf,
        /// Its step.
        step: u64,
        /// Steps of the run.
        total: u64,
    },
    /// The epochs of the run and of its checkpoint differ in length.
    #[error("{} is of a run with {there} steps per epoch, and this run has {here}: expected the same number of images and the same batch size", path.display())]
    StepsPerEpoch {
        /// The checkpoint.
        path: PathBuf,
        /// Steps of an epoch of the run that wrote it.
        there: u64,
        /// Steps of an epoch now.
        here: u64,
    },
    /// The images are not those of the run.
    #[error("{0}: expected the images that the run started with, or changed data to be accepted")]
    ChangedData(String),
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
    /// Turns an error of the operating system about `path` into one of ours.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Names the checkpoint to fall back on.
fn good(checkpoint: &Option<PathBuf>) -> String {
    checkpoint
        .as_ref()
        .map_or_else(String::new, |path| format!(" (the last good checkpoint is {})", path.display()))
}

/// Names the checkpoint from before a collapse, or says that there is none.
fn before(checkpoint: &Option<PathBuf>, since: u64) -> String {
    match checkpoint {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => format!("there is no checkpoint from before step {since}"),
    }
}

fn in_words(damaged: &[DamagedCheckpoint]) -> String {
    damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
