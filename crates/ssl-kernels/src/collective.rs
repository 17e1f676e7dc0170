//! The processes that train one network together.

use std::fmt;
use std::ops::{Add, Deref, Sub};
use std::sync::Arc;

use burn::tensor::Tensor;

/// The processes that train one network together.
///
/// Every call blocks until all ranks have made it, so all ranks must make the same calls in the same order. Tensors are
/// plain values without gradients: gather them, keep your own rows tracked, and compute the loss of the global batch on
/// every rank. [`ops::all_reduce_sum`](crate::ops::all_reduce_sum) is the only operation whose gradient passes through
/// a group.
///
/// # Ranks in one process
///
/// Burn locks a graph during its whole backward pass, in which `ops::all_reduce_sum` waits for the other ranks. Ranks
/// that are threads must therefore have separate graphs, or they deadlock. Burn joins two graphs when an operation
/// reads a tracked tensor of each, so threads share a graph
///
/// - if both use the same parameters, including those of a cloned network, since a clone keeps the graph nodes;
/// - if one uses a tracked tensor that the other created.
///
/// Graphs stay separate if each thread builds its own network, or gets one by `Module::fork` or `valid().train()` while
/// no backward pass is running, and if threads exchange only plain values. Tensors without gradients may be shared.
pub trait Collective: fmt::Debug + Send + Sync + 'static {
    /// The index of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// The sum over all ranks, bit-identical on each: values are added in rank order.
    ///
    /// # Shapes
    /// - `values`: `[value]` without gradients, of the same length on all ranks
    /// - returns: `[value]`, on the device of `values`
    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1>;

    /// The rows of all ranks, in rank order.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]` without gradients; the number of rows may differ between ranks and may be 0
    /// - returns: `[all rows, column]`, on the device of `rows`
    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2>;

    /// Returns the bytes of rank `root`. Those of the other ranks are ignored.
    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Vec<u8>;

    /// The bytes of all ranks, in rank order; their number may differ between ranks.
    fn gather_bytes(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        (0..self.size()).map(|root| self.broadcast(bytes.clone(), root)).collect()
    }

    /// Waits for all ranks.
    fn barrier(&self);

    /// What this process has exchanged since the group exists; zeros where nothing counts it.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    /// Ends the group: a rank that is waiting in a call, or makes one later, panics instead of waiting forever.
    fn abort(&self);
}

/// What a process has exchanged with others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Calls of a [`Collective`].
    pub calls: u64,
    /// Bytes that this process gave to sums that the ranks share out: each travels twice, however many ranks there are.
    pub summed: u64,
    /// Bytes that this process gave to all other calls, gathers and short sums: each travels to every other rank.
    pub gathered: u64,
    /// Seconds of the host in them, waiting for other ranks included; where calls are left to the queue of a device, as with NCCL,
    /// only what it takes to leave them there.
    pub seconds: f64,
}

impl Traffic {
    /// Bytes that this process gave to calls.
    pub fn bytes(&self) -> u64 {
        self.summed + self.gathered
    }
}

impl Add for Traffic {
    type Output = Self;

    /// The traffic of both.
    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            summed: self.summed + other.summed,
            gathered: self.gathered + other.gathered,
            seconds: self.seconds + other.seconds,
        }
    }
}

impl Sub for Traffic {
    type Output = Self;

    /// The traffic since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            summed: self.summed - earlier.summed,
            gathered: self.gathered - earlier.gathered,
            seconds: self.seconds - earlier.seconds,
        }
    }
}

/// A process that trains alone: rank 0 of 1. Every call returns its argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1> {
        values
    }

    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2> {
        rows
    }

    fn broadcast(&self, bytes: Vec<u8>, _root: usize) -> Vec<u8> {
        bytes
    }

    fn barrier(&self) {}

    fn abort(&self) {}
}

/// A handle to a [`Collective`], cheap to clone; [`Solo`] by default.
///
/// ```
/// use ssl_kernels::Group;
///
/// let group = Group::default();
/// assert!(group.is_solo());
/// assert_eq!((group.rank(), group.size()), (0, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Group(Arc<dyn Collective>);

impl Group {
    /// Creates a handle to the given processes.
    pub fn new(collective: impl Collective) -> Self {
        Self(Arc::new(collective))
    }

    /// Whether there is only one process, so that nothing has to be exchanged.
    pub fn is_solo(&self) -> bool {
        self.size() == 1
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new(Solo)
    }
}

/// Handles to the same processes are equal.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.is_solo() && other.is_solo())
    }
}

impl Deref for Group {
    type Target = dyn Collective;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl From<Arc<dyn Collective>> for Group {
    fn from(collective: Arc<dyn Collective>) -> Self {
        Self(collective)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_process_alone_gets_back_what_it_gave() {
        let (group, device) = (Group::default(), Device::flex());
        assert_eq!((group.rank(), group.size(), group.is_solo()), (0, 1, true));
        let values = Tensor::<1>::from_floats([1.0, 2.0], &device);
        assert_eq!(group.all_reduce_sum(values.clone()).into_data(), values.into_data());
        let rows = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
        assert_eq!(group.all_gather(rows.clone()).into_data(), rows.into_data());
        assert_eq!(group.broadcast(vec![1, 2], 0), [1, 2]);
        assert_eq!((group.gather_bytes(vec![3]), group.traffic()), (vec![vec![3]], Traffic::default()));
        group.barrier();
        group.abort();
        assert_eq!(group, Group::new(Solo));
    }

    #[test]
    fn traffic_since_an_earlier_count_is_what_was_added() {
        let earlier = Traffic { calls: 1, summed: 20, gathered: 3, seconds: 0.5 };
        let more = Traffic { calls: 2, summed: 8, gathered: 4, seconds: 0.25 };
        assert_eq!(((earlier + more) - earlier, more.bytes()), (more, 12));
    }
}
