//! The operations that make a view, each with explicit parameters.
//!
//! Everything but the crop works in place on [`Planes`]. What each operation computes follows torchvision's
//! `transforms.v2.functional` on 8-bit tensors; the conformance suite (`aug.*`) states the tolerances. Results are
//! the same bit for bit on every CPU: wider vector units change the speed only.

mod blur;
mod color;
mod flip;
mod hue;
mod normalize;
mod planes;
mod resize;

pub use blur::{BlurBuffers, gaussian_blur};
pub use color::{adjust_brightness, adjust_contrast, adjust_saturation, grayscale, solarize};
pub use flip::horizontal_flip;
pub use hue::adjust_hue;
pub use normalize::{Normalization, normalize};
pub(crate) use normalize::{Place, normalize_to};
pub use planes::Planes;
pub(crate) use resize::Interleaved;
pub use resize::{CropBox, Interpolation, Resizer};
