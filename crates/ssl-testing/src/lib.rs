#![doc = include_str!("../README.md")]

mod array;
mod case;
mod compare;
#[cfg(feature = "burn")]
mod loss_inputs;
pub mod oracle;
mod paths;
#[cfg(feature = "burn")]
mod ranks;
#[cfg(feature = "burn")]
pub mod tensors;

pub use array::{Array, Values};
pub use case::{Case, CaseError, Outputs};
pub use compare::{Comparison, Rule, compare};
#[cfg(feature = "burn")]
pub use loss_inputs::LossInputs;
pub use paths::{cases_dir, shared_data};
#[cfg(feature = "burn")]
pub use ranks::{Fault, ranks};
