//! Devices and backend-specific operations: the only crate of burn-ssl that names a backend.
//!
//! All other crates work on Burn tensors and take a [`Device`](burn::tensor::Device) by value. This crate holds what
//! depends on the backend: device names ([`DeviceSpec`]), operations that a backend can do better than Burn's generic
//! formulation ([`ops`]), each with a portable default, and communication between the processes of a training run
//! ([`Collective`]).

mod collective;
pub mod device;
#[cfg(feature = "tch")]
pub mod native;
pub mod ops;
mod tuning;

pub use collective::{Collective, Group, Solo, Traffic};
pub use device::{DeviceError, DeviceInfo, DeviceSpec, FoundDevice};
pub use tuning::{share_cores, tune_process};
