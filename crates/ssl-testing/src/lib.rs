#![doc = include_str!("../README.md")]

mod array;
mod case;
mod compare;
pub mod oracle;
mod paths;
#[cfg(feature = "ranks")]
mod ranks;

pub use array::{Array, Values};
pub use case::{Case, CaseError, Outputs};
pub use compare::{Comparison, Rule, compare};
pub use paths::{cases_dir, shared_data};
#[cfg(feature = "ranks")]
pub use ranks::{Fault, ranks};
