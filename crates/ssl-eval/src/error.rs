//! Why an evaluation failed.

use ssl_core::ConfigError;
use ssl_data::DataError;

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A value in the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to embed.
    #[error("none of {images} images can be read: expected at least one")]
    NoImages {
        /// Images of the set.
        images: usize,
    },
    /// One of the two sets of k-NN has no labels.
    #[error(
        "the {0} images have no labels: expected a folder or archive with one folder per class, or a list with labels"
    )]
    NoLabels(&'static str),
    /// The encoder returned values that are not finite.
    #[error(
        "the features of the {0} images are not all finite: expected finite numbers; the encoder's weights are damaged or have diverged"
    )]
    NotFinite(&'static str),
}
