//! What self-supervised methods on Burn are made of.
//!
//! # The parts
//!
//! An **encoder** ([`Encoder`]) turns images into features. It is what a run is about; everything else is thrown away. An
//! encoder of tokens ([`TokenEncoder`]) also says something of every patch.
//!
//! A **method** ([`SslMethod`]) puts heads on an encoder and defines a loss. What the optimizer trains is its student; a
//! teacher, a queue or a centre is its state, which no optimizer sees. What is true of a method whatever its encoder, such
//! as the views that it needs, is in [`MethodRules`].
//!
//! A **view** is an augmented image. [`Views`] holds those of a batch, with labels where there are some, and with a **mask**
//! ([`Mask`]) for each view where patches are hidden from the encoder.
//!
//! A **step** ([`Step`]) is what a method makes of the views: a loss, what its state takes up, and the [`Metrics`] it wants
//! to be seen. It is told where in the run it is, and draws its random numbers from the host ([`StepContext`], [`Draws`]). A
//! [`Pass`] tells a network how a batch goes through it.
//!
//! A **group** ([`Group`]) is the processes that train together, each with a share of every batch. [`group`](mod@group) says
//! how a loss over images of all processes is computed.
//!
//! # Symbols
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `v` | images, views of them | `[batch, channel, height, width]` |
//! | `h` | features, what the encoder gives | `[batch, feature_dim]` |
//! | `z` | embeddings, what the projector makes of features | `[batch, dim]` |
//! | `p` | predictions, what the predictor makes of embeddings | `[batch, dim]` |
//! | `q`, `k` | query and key: an embedding of the student, one of the teacher | `[batch, dim]` |
//!
//! # Modules
//!
//! - [`method`], [`siamese`], [`shape`]: methods, those of one network without state, and the students that several train
//! - [`encoder`], [`tokens`], [`head`], [`nn`]: networks and their layers, with PyTorch's names
//! - [`views`], [`embed`]: what goes in, and how several views pass through one network
//! - [`context`], [`pass`], [`draws`], [`metrics`], [`group`](mod@group): what a step is told and what it tells
//! - [`loss`], [`embedding_loss`], [`math`], [`schedule`]: functions without state, and losses of batches that are embedded in
//!   chunks
//! - [`momentum`], [`queue`], [`counter`]: state that no optimizer sees
//! - [`init`], [`precision`], [`named`]: seeded initial values, the format of products, tensors by path
//! - [`assert_shape!`], [`setters!`], [`names!`]: what losses, configurations and enums of options repeat

mod assert_shape;
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
mod names;
pub mod nn;
pub mod pass;
pub mod precision;
pub mod queue;
pub mod schedule;
mod setters;
pub mod shape;
pub mod siamese;
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
pub use method::{GradientRules, LossOf, MethodRules, Needs, NoState, Progress, SslMethod, Step};
pub use metrics::Metrics;
pub use momentum::{MomentumUpdate, Teacher};
pub use names::UnknownName;
pub use pass::Pass;
pub use precision::Precision;
pub use queue::Queue;
pub use shape::{EncoderWith, Predicted, TeacherState, WithPredictor};
pub use siamese::{Passes, Siamese};
pub use ssl_kernels::ops::{read_values, with_backend_kernels};
pub use ssl_kernels::{
    Collective, DeviceError, DeviceInfo, DeviceSpec, FoundDevice, Group, Solo, tune_process,
};
pub use tokens::{Masking, TokenEncoder, Tokens};
pub use views::{Mask, Views};
