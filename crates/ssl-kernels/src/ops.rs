//! Operations that a backend may do better than Burn's generic formulation, each behind one portable signature.

mod adamw;
mod add_scaled;
mod all_reduce;
#[cfg(any(feature = "flex", feature = "tch"))]
mod any_rank;
mod attention;
mod attention_half;
mod average;
mod batch_norm;
mod batch_norm_output;
mod choice;
#[cfg(all(test, feature = "flex"))]
mod comparison;
mod contrast;
mod conv;
#[cfg(any(feature = "flex", feature = "tch"))]
mod cpu;
mod cross_entropies;
mod depthwise_conv;
mod epilogue;
mod feed_forward;
#[cfg(feature = "flex")]
mod flex;
mod gelu;
#[cfg(any(feature = "flex", feature = "tch"))]
mod host;
mod layer_norm;
#[cfg(feature = "tch")]
mod libtorch;
mod linear;
mod maps;
mod read;
mod relu;
mod rows_of_length;
mod sgd;
mod sgd_rates;
mod sum;
mod sum_of_squares;

pub use adamw::{AdamWRates, adamw};
pub use add_scaled::add_scaled;
pub use all_reduce::all_reduce_sum;
pub use attention::{AttentionInput, AttentionTokens, attend, attention, first_attention};
pub use attention_half::{AttentionWeights, attention_half};
pub use average::average;
pub use batch_norm::{batch_norm_eval, batch_norm_relu_train, batch_norm_train};
pub use batch_norm_output::BatchNormOutput;
pub use choice::with_backend_kernels;
pub use contrast::{Contrast, Contrasted, contrast, contrast_values};
pub use conv::conv2d;
#[cfg(any(feature = "flex", feature = "tch"))]
pub(crate) use cpu::instructions;
pub use cross_entropies::{Pairs, cross_entropies};
pub use depthwise_conv::depthwise_conv2d;
pub use feed_forward::{FeedForwardWeights, feed_forward, feed_forward_onto};
pub use gelu::gelu;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_gelu, linear_onto};
pub use maps::{Maps, NormalisedMaps};
pub use read::read_values;
pub use relu::relu;
pub use rows_of_length::rows_of_length;
pub use sgd::sgd_momentum;
pub use sgd_rates::SgdRates;
pub use sum::sum;
pub use sum_of_squares::{layer_squares, sum_of_squares};
