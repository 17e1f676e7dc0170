#![doc = include_str!("../README.md")]

mod batch;
mod checkpoint;
mod chunks;
mod descent;
mod error;
mod events;
mod finding;
#[doc(hidden)]
pub mod fuzzing;
mod gradients;
mod lock;
mod losses;
mod metrics;
mod observer;
pub mod optim;
mod run_dir;
mod schedule;
mod trainer;

pub use batch::BatchConfig;
pub use checkpoint::{CheckpointConfig, DamagedCheckpoint, IntactCheckpoint, newest_intact_checkpoint};
pub use chunks::{MicroBatch, in_chunks};
pub use descent::{Descended, Descent};
pub use error::TrainError;
pub use finding::{Finding, FindingKind, OnCollapse};
pub use gradients::Gradients;
pub use observer::{Evaluation, EvaluationError, Evaluator, NoEvaluation, NoObserver, Observer, StepReport};
pub use optim::{
    AdamWConfig, Algorithm, LarcConfig, LarsConfig, LrScaling, NoDecay, Optimizer, OptimizerConfig,
    OptimizerName, ParamRule, Rates, SgdConfig,
};
pub use run_dir::{Existing, RunDir};
pub use schedule::{EarlierLength, ScheduleConfig, Warmup};
pub use trainer::{ChangedData, Rehearsal, Start, Summary, TrainConfig, Trained, Trainer, needs_of_views};
