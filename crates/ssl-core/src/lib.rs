//! The building blocks of self-supervised methods on Burn.
//!
//! # Concepts
//!
//! An **encoder** ([`Encoder`]) turns images into features. It is what a run produces; everything else is discarded. A
//! token encoder ([`TokenEncoder`]) also outputs a token for every patch.
//!
//! A **method** ([`SslMethod`]) puts heads on an encoder and defines a loss. The optimizer trains its student; a
//! teacher, a queue or a centre belongs to its state, which no optimizer sees. What holds for a method regardless of
//! its encoder, such as the views that it needs, is in [`MethodRules`].
//!
//! A **view** is an augmented image. [`Views`] holds those of a batch, with labels where available, and a **mask**
//! ([`Mask`]) for each view whose patches are partly hidden from the encoder.
//!
//! A **step** ([`Step`]) is what a method computes from the views: a loss, an update for its state, and the [`Metrics`]
//! it reports. A method is told where it is in the run, and draws its random numbers on the host ([`StepContext`],
//! [`Draws`]). A [`Pass`] tells a network how to process a batch.
//!
//! A **group** ([`Group`]) is the processes that train together, each with a share of every batch. [`group`](mod@group)
//! explains how a loss over the images of all processes is computed.
//!
//! # Symbols
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `v` | images, views of them | `[batch, channel, height, width]` |
//! | `h` | features, the output of the encoder | `[batch, feature_dim]` |
//! | `z` | embeddings, the output of the projector | `[batch, dim]` |
//! | `p` | predictions, the output of the predictor | `[batch, dim]` |
//! | `q`, `k` | query and key: an embedding from the student, one from the teacher | `[batch, dim]` |
//!
//! # Modules
//!
//! - [`method`], [`siamese`], [`shape`]: methods, those of one network without state, and the students that several train
//! - [`encoder`], [`tokens`], [`head`], [`prototype_head`], [`nn`]: networks and their layers, with PyTorch's names
//! - [`views`], [`mask`], [`hidden`], [`patches`], [`embed`]: the input, its patches, and how several views pass through one network
//! - [`context`], [`pass`], [`draws`], [`metrics`], [`group`](mod@group): what a step is told and what it reports
//! - [`loss`], [`embedding_loss`], [`math`], [`schedule`]: stateless functions, and losses of batches that are embedded
//!   in chunks
//! - [`momentum`], [`queue`], [`counter`]: state that no optimizer sees; [`frozen`]: networks that never change
//! - [`init`], [`precision`], [`named`]: seeded initial values, the precision of large products, tensors by path
//! - [`footprint`], [`limits`], [`advice`]: what a method keeps in memory, the most that a configuration may ask for, and what a
//!   method says of a run before it starts
//! - [`assert_shape!`], [`setters!`], [`names!`]: boilerplate of losses, configurations and option enums

pub mod advice;
mod assert_shape;
pub mod context;
pub mod counter;
pub mod draws;
pub mod embed;
pub mod embedding_loss;
pub mod encoder;
pub mod error;
pub mod footprint;
pub mod frozen;
pub mod group;
pub mod head;
pub mod hidden;
pub mod init;
pub mod limits;
pub mod loss;
pub mod mask;
pub mod math;
pub mod method;
pub mod metrics;
pub mod momentum;
pub mod named;
mod names;
pub mod nn;
pub mod pass;
pub mod patches;
pub mod precision;
pub mod prototype_head;
pub mod queue;
pub mod schedule;
mod setters;
pub mod shape;
pub mod siamese;
pub mod tokens;
mod train_step;
mod view_rows;
pub mod views;

pub use advice::{Advice, Change, Plan, Severity};
pub use context::StepContext;
pub use counter::Counter;
pub use draws::Draws;
pub use embedding_loss::{Embedded, EmbeddingLoss};
pub use encoder::{Encoder, Mode};
pub use error::ConfigError;
pub use footprint::{Footprint, HeadShape, TokenShape};
pub use frozen::{Features, FrozenEncoder};
pub use head::{Activation, Head, LayerConfig, Mlp, Norm};
pub use hidden::HiddenPatches;
pub use init::Init;
pub use loss::Loss;
pub use mask::{Mask, MaskError, MaskKind};
pub use method::{GradientRules, LossOf, LossScale, MethodRules, Needs, NoState, Progress, SslMethod, Step};
pub use metrics::Metrics;
pub use momentum::{MomentumUpdate, Teacher};
pub use names::UnknownName;
pub use pass::Pass;
pub use precision::Precision;
pub use prototype_head::PrototypeHead;
pub use queue::Queue;
pub use shape::{EncoderWith, Predicted, TeacherState, WithPredictor};
pub use siamese::{Passes, Siamese};
pub use ssl_kernels::ops::{read_values, with_backend_kernels};
pub use ssl_kernels::{
    Collective, DeviceError, DeviceInfo, DeviceSpec, FoundDevice, Group, Solo, Traffic, share_cores,
    tune_process,
};
pub use tokens::{Masking, TokenEncoder, Tokens};
pub use train_step::{TrainStep, train_step};
pub use view_rows::ViewRows;
pub use views::Views;
