#![doc = include_str!("../README.md")]

mod images;
#[cfg(feature = "training")]
mod runs;
#[cfg(feature = "training")]
mod weights;

pub use images::{image, tar};
#[cfg(feature = "training")]
pub use runs::{metrics, recipe, run};
#[cfg(feature = "training")]
pub use weights::{pth, safetensors};

/// A bug for the search to find, if it is planted: no input of the corpora has what it `found`.
///
/// # Panics
/// If there is a planted bug and it was `found`.
fn plant(found: bool) {
    assert!(!(cfg!(feature = "planted-bug") && found), "the planted bug");
}
