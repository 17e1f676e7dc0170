//! Groups that compute wrongly on purpose.

use burn::tensor::Tensor;
use ssl_kernels::{Collective, Group};

/// A mistake that a test must notice.
///
/// ```
/// use burn::tensor::Tensor;
/// use ssl_kernels::DeviceSpec;
/// use ssl_testing::Fault;
///
/// let device = DeviceSpec::Flex.open().unwrap();
/// let sums = ssl_testing::ranks(2, |group| {
///     let group = Fault::NoSum.in_group(group);
///     group.all_reduce_sum(Tensor::<1>::full([1], 3.0, &device)).into_scalar::<f32>()
/// });
/// assert_eq!(sums, [3.0, 3.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// `all_reduce_sum` returns the values of its rank.
    NoSum,
    /// `all_reduce_sum` returns the sum times this factor.
    Scale(f32),
    /// `all_gather` returns the rows of its rank in place of those of every rank. Needs the same number of rows on each.
    NoGather,
}

impl Fault {
    /// The group with this mistake.
    pub fn in_group(self, group: Group) -> Group {
        Group::new(Faulty { fault: self, group })
    }
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    group: Group,
}

impl Collective for Faulty {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1> {
        match self.fault {
            Fault::NoSum => values,
            Fault::Scale(factor) => self.group.all_reduce_sum(values).mul_scalar(factor),
            Fault::NoGather => self.group.all_reduce_sum(values),
        }
    }

    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2> {
        match self.fault {
            Fault::NoGather => Tensor::cat(vec![rows; self.size()], 0),
            Fault::NoSum | Fault::Scale(_) => self.group.all_gather(rows),
        }
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Vec<u8> {
        self.group.broadcast(bytes, root)
    }

    fn barrier(&self) {
        self.group.barrier();
    }

    fn abort(&self) {
        self.group.abort();
    }
}
