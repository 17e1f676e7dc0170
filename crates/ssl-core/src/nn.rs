//! Layers with PyTorch's parameter names and semantics.
//!
//! Burn's own layers differ in ways that matter here: its batch norm follows the device instead of an explicit [`Mode`]
//! and keeps the biased running variance, and its names and layouts (`gamma`, `[in, out]`) would have to be mapped
//! wherever weights are exchanged with PyTorch.
//!
//! [`Mode`]: crate::Mode

mod batch_norm;
mod conv;
mod layer_norm;
mod linear;
mod positions;
mod transformer;
mod weight_norm;

pub use batch_norm::{Affine, BatchNorm, BatchNormConfig};
pub use conv::{Conv2d, Conv2dConfig};
pub use layer_norm::LayerNorm;
pub use linear::{Linear, LinearConfig, xavier};
pub use positions::{
    AxisOrder, fixed_positions, pos_embed_for, resize_pos_embed, sine_cosine_positions, square_of,
};
pub use ssl_kernels::ops::{
    AttentionInput, AttentionTokens, AttentionWeights, BatchNormOutput, FeedForwardWeights, Maps,
    NormalisedMaps, attend, attention, attention_half, batch_norm_relu_train, batch_norm_train, conv2d,
    depthwise_conv2d, feed_forward, feed_forward_onto, first_attention, gelu, layer_norm, linear,
    linear_onto, relu,
};
pub use transformer::{Attention, DropPath, FeedForward, LayerScale, TransformerBlock};
pub use weight_norm::WeightNormLinear;
