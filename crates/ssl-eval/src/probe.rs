//! Probes: small classifiers that show what a frozen encoder knows.

mod attentive;
mod head;
mod input;

pub use attentive::AttentivePool;
pub use head::{Probe, ProbeHead};
pub use input::ProbeInput;
