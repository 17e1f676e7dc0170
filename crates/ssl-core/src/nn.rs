//! Layers with PyTorch's parameter names and semantics.
//!
//! Burn's own layers differ where it matters here: its batch norm follows the device and not an explicit [`Mode`],
//! keeps the biased running variance, and its names and layouts (`gamma`, `[in, out]`) would need a map at every
//! border with PyTorch.
//!
//! [`Mode`]: crate::Mode

mod batch_norm;
mod conv;
mod linear;

pub use batch_norm::{Affine, BatchNorm, BatchNormConfig};
pub use conv::{Conv2d, Conv2dConfig};
pub use linear::{Linear, LinearConfig};
pub use ssl_kernels::ops::{BatchNormOutput, batch_norm_relu_train, batch_norm_train, conv2d, gelu, relu};
