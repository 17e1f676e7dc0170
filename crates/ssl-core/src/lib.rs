//! Vocabulary and shared mechanism of self-supervised learning on Burn.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `v` | images, views of them | `[batch, channel, height, width]` |
//! | `h` | features, what the encoder gives | `[batch, feature_dim]` |
//! | `z` | embeddings, what the projector makes of features | `[batch, dim]` |
//! | `p` | predictions, what the predictor makes of embeddings | `[batch, dim]` |
//! | `q`, `k` | query and key: an embedding of the student, one of the teacher | `[batch, dim]` |
//!
//! - [`encoder`], [`tokens`], [`head`]: the kinds of network, and [`Mode`], which says how batch norm behaves in them
//! - [`method`]: what a method is ([`SslMethod`]): a loss over views, and what happens around an optimizer step
//! - [`context`], [`pass`], [`draws`]: what a step knows of its place in a run, what a network is told of a pass, and the
//!   random choices of both
//! - [`group`]: the processes that train together ([`Group`]), and tensors of all of them
//! - [`metrics`]: what a method wants to be seen of a step
//! - [`shape`]: networks that several methods train
//! - [`embedding_loss`]: losses of a batch that may be embedded in chunks
//! - [`momentum`], [`queue`], [`counter`]: state that no optimizer sees: teachers, memories, numbers
//! - [`views`], [`embed`]: what goes in, and how several views pass through one network
//! - [`loss`], [`math`], [`schedule`]: functions without state
//! - [`nn`], [`init`], [`precision`], [`named`]: layers with PyTorch's names, seeded initial values, the format of products,
//!   tensors by path

pub mod context;
pub mod counter;
pub mod draws;
pub mod embed;
pub mod embedding_loss;
pub mod encoder;
pub mod error;
pub mod group;
pub mod head;
pub mod init;
pub mod loss;
pub mod math;
pub mod method;
pub mod metrics;
pub mod momentum;
pub mod named;
pub mod nn;
pub mod pass;
pub mod precision;
pub mod queue;
pub mod schedule;
pub mod shape;
pub mod tokens;
pub mod views;

pub use context::StepContext;
pub use counter::Counter;
pub use draws::Draws;
pub use embedding_loss::{Embedded, EmbeddingLoss};
pub use encoder::{Encoder, Mode};
pub use error::ConfigError;
pub use head::{Activation, Head, LayerConfig, Mlp, Norm};
pub use init::Init;
pub use loss::Loss;
pub use method::{
    GradientRules, KeptHead, LossOf, MethodRules, Needs, NoState, Progress, SslMethod, Step,
};
pub use metrics::Metrics;
pub use momentum::{MomentumUpdate, Teacher};
pub use pass::Pass;
pub use precision::Precision;
pub use queue::Queue;
pub use shape::{EncoderWith, Predicted, TeacherState, WithPredictor};
pub use ssl_kernels::ops::{read_values, with_backend_kernels};
pub use ssl_kernels::{
    Collective, DeviceError, DeviceInfo, DeviceSpec, FoundDevice, Group, Solo, tune_process,
};
pub use tokens::{Masking, TokenEncoder, Tokens};
pub use views::{Mask, Views};
