//! Devices and backend-specific operations: the only crate of burn-ssl that names a backend.
//!
//! Everything above it works on Burn tensors and takes a [`Device`](burn::tensor::Device) by value. Here lives
//! what needs to know more: the text form of a device ([`DeviceSpec`]), the operations that a backend can do better
//! than Burn's generic formulation ([`ops`]), each with a portable default, and what the processes of one training run
//! exchange ([`Collective`]).

mod collective;
pub mod device;
pub mod ops;
mod tuning;

pub use collective::{Collective, Group, Solo};
pub use device::{DeviceError, DeviceInfo, DeviceSpec, FoundDevice};
pub use tuning::tune_process;
