//! Why an evaluation has no result.

use ssl_core::ConfigError;
use ssl_data::DataError;

/// Why an evaluation has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A value in the configuration that no evaluation could use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of the two sets of k-NN has no labels.
    #[error(
        "the {0} images have no labels: expected a folder or archive with one folder per class, or a list with labels"
    )]
    NoLabels(&'static str),
    /// The encoder gave something that is no number.
    #[error(
        "the features of the {0} images are not all finite numbers: the encoder's weights are damaged or diverged"
    )]
    NotFinite(&'static str),
}
