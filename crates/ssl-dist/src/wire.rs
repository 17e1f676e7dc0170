//! What an engine has to do: move bytes between processes.

use std::fmt::Debug;

use burn::tensor::{Device, Tensor};

/// A connection between the processes of a job. Every call blocks until all of them have made it.
pub(crate) trait Wire: Debug + Send + Sync + 'static {
    /// The index of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Fills `all` with the bytes of every rank, in rank order. All ranks give the same number.
    fn all_gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), Lost>;

    /// Sends the `r`-th of `size` equal parts of `parts` to rank `r`, and fills `received` with what the ranks sent here, in rank
    /// order.
    fn all_to_all(&self, parts: &[u8], received: &mut [u8]) -> Result<(), Lost>;

    /// Replaces the bytes by those of rank `root`; all ranks give the same number.
    fn broadcast(&self, bytes: &mut [u8], root: usize) -> Result<(), Lost>;

    /// Ends all processes at once, as far as the engine can.
    fn abort(&self);
}

/// A connection between the devices of the processes, for tensors that need not pass through the host.
#[cfg_attr(not(feature = "nccl"), allow(dead_code))]
pub(crate) trait DeviceWire: Debug + Send + Sync + 'static {
    /// Whether it connects this device.
    fn connects(&self, device: &Device) -> bool;

    /// The sum over all ranks, with the same bits on each.
    fn all_reduce_sum(&self, values: Tensor<1>) -> Result<Tensor<1>, Lost>;

    /// The rows of all ranks, in rank order; all ranks have as many.
    fn all_gather(&self, rows: Tensor<2>) -> Result<Tensor<2>, Lost>;
}

/// The connection to another process broke, with the engine's words.
#[derive(Clone, Debug)]
pub(crate) struct Lost(pub(crate) String);
