use std::{fmt, io, path::PathBuf};

use ssl_files::{escaped, shown};
use thiserror::Error;

use crate::decode::DecodeError;

/// Why a data set cannot be opened or a loader cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path names nothing.
    #[error("there is no file or folder at {}", shown(path))]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path names a file that is no data set.
    #[error(
        "{} is {found}; expected a folder of images, a .tar of images, CIFAR, STL-10 or MNIST binaries, \
         or a .csv or .txt list of images",
        shown(path)
    )]
    Unrecognised {
        /// The path as given.
        path: PathBuf,
        /// What lies there, with its article: "a single image".
        found: String,
    },
    /// The data set was recognised and holds no image.
    #[error("there are no images in {}: looked for {looked_for}, found {found}", shown(path))]
    Empty {
        /// The path as given.
        path: PathBuf,
        /// What would have counted as an image.
        looked_for: String,
        /// What is there instead.
        found: String,
    },
    /// The file system refused.
    #[error("cannot read {}: {source}", shown(path))]
    Io {
        /// The file or folder that was read.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// A file of the data set contradicts its format.
    #[error("{} is damaged: {reason}", shown(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// More images than allowed cannot be read.
    #[error(
        "{count} of {images} images cannot be read, more than the {allowed} that are skipped; \
         the first is {first}"
    )]
    TooManyUnreadable {
        /// Unreadable images so far.
        count: usize,
        /// Images in the data set.
        images: usize,
        /// Unreadable images that a run skips.
        allowed: usize,
        /// The first unreadable image and what is wrong with it.
        first: String,
    },
    /// No batch can be filled.
    #[error("a batch of {batch_size} images is larger than the data set of {images} images")]
    BatchTooLarge {
        /// Images in a batch.
        batch_size: usize,
        /// Images in the data set.
        images: usize,
    },
    /// Processes cannot share a batch evenly.
    #[error("a batch of {batch_size} images does not divide into {of} equal shares")]
    Share {
        /// Images of the whole batch.
        batch_size: usize,
        /// Processes that share it.
        of: usize,
    },
    /// There is no such share of a batch.
    #[error("share {rank} of {of} was asked for, expected a number below {of}")]
    Rank {
        /// The share, from 0.
        rank: usize,
        /// Processes that share a batch.
        of: usize,
    },
    /// A number of the loader's configuration must not be zero.
    #[error("{field} is 0, expected at least 1")]
    Zero {
        /// The field of the configuration.
        field: &'static str,
    },
    /// A number of the loader's configuration is beyond any use.
    #[error("{field} is {value}, expected at most {most}")]
    TooMany {
        /// The field of the configuration.
        field: &'static str,
        /// What was asked for.
        value: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// A class of this data set is unknown to the other one.
    #[error("the class {} is not among the {known} classes of the other data set", escaped(class))]
    UnknownClass {
        /// The class in this data set.
        class: String,
        /// Classes of the other one.
        known: usize,
    },
    /// The operating system gave no thread.
    #[error("cannot start the loader's worker threads: {0}")]
    Threads(io::Error),
    /// A worker thread panicked: a bug in an operation or an image source.
    #[error("a worker thread of the loader panicked: {message}")]
    WorkerPanicked {
        /// What the panic said.
        message: String,
    },
}

/// Why one image of a data set cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its bytes cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its bytes are no image.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A source of the user's own failed.
    #[error("{0}")]
    Other(String),
}

impl DataError {
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, reason: impl fmt::Display) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }
}
