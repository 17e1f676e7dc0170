//! Why a page cannot be made.

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The template, which is a bug.
    #[error("the page cannot be laid out: {0}")]
    Template(#[from] minijinja::Error),
    /// The data for the scripts, which is a bug.
    #[error("the data of the page cannot be written: {0}")]
    Data(#[from] serde_json::Error),
    /// A picture cannot be encoded.
    #[error("a picture of the page cannot be encoded: {0}")]
    Picture(#[from] image::ImageError),
}
