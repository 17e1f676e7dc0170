#![doc = include_str!("../README.md")]

mod checkpoint;
mod chunks;
mod descent;
mod error;
mod gradients;
mod losses;
mod metrics;
mod observer;
pub mod optim;
mod run_dir;
mod schedule;
mod trainer;

pub use checkpoint::{CheckpointConfig, load_student};
pub use chunks::{MicroBatch, in_chunks};
pub use descent::{Descended, Descent};
pub use error::TrainError;
pub use gradients::Gradients;
pub use observer::{Evaluation, EvaluationError, Evaluator, NoEvaluation, NoObserver, Observer, StepReport};
pub use optim::{LrScaling, NoDecay, Optimizer, OptimizerConfig, OptimizerName, Rates};
pub use run_dir::RunDir;
pub use schedule::{ScheduleConfig, Warmup};
pub use trainer::{Summary, TrainConfig, Trained, Trainer};
