//! A group of threads in place of a group of processes.

mod fault;
mod meeting;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use burn::tensor::{Tensor, TensorData};
use ssl_kernels::ops::read_values;
use ssl_kernels::{Collective, Group};

pub use fault::Fault;
use meeting::{Call, Given, Meeting};

/// Runs `work` on `count` threads, each a rank of one group, and returns their results in the order of ranks.
///
/// Values are exchanged as float32 in memory and summed in the order of ranks, so all ranks get the same bits, in every run.
/// Each thread must create its own network: see [`Collective`] for when threads deadlock.
///
/// ```
/// use burn::tensor::Tensor;
/// use ssl_kernels::DeviceSpec;
///
/// let device = DeviceSpec::Flex.open().unwrap();
/// let sums = ssl_testing::ranks(2, |group| {
///     let value = Tensor::<1>::full([1], group.rank() as f32 + 1.0, &device);
///     group.all_reduce_sum(value).into_scalar::<f32>()
/// });
/// assert_eq!(sums, [3.0, 3.0]);
/// ```
///
/// # Panics
/// With the message of the first rank that panics; the others are ended. If the ranks do not make a call together, because one
/// has returned or makes another call, that is a panic too, and never an endless wait.
pub fn ranks<T: Send>(count: usize, work: impl Fn(Group) -> T + Sync) -> Vec<T> {
    assert!(count > 0, "a group of 0 ranks, expected 1 or more");
    let meeting = Arc::new(Meeting::of(count));
    let (meeting, work) = (&meeting, &work);
    let run = |rank| {
        let group = Group::new(Thread { rank, meeting: meeting.clone() });
        let result = catch_unwind(AssertUnwindSafe(|| work(group)));
        match result {
            Ok(_) => meeting.leave(rank),
            Err(_) => meeting.end(rank),
        }
        result
    };
    let results: Vec<thread::Result<T>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|rank| scope.spawn(move || run(rank))).collect();
        threads.into_iter().map(|thread| thread.join().and_then(|result| result)).collect()
    });
    all(results, meeting.ended_by())
}

/// The results of all ranks, or the panic of the rank that ended the group.
fn all<T>(results: Vec<thread::Result<T>>, ended_by: Option<usize>) -> Vec<T> {
    let mut values = Vec::new();
    let mut panics = Vec::new();
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => values.push(value),
            Err(panic) => panics.push((rank, panic)),
        }
    }
    let first = panics.iter().position(|(rank, _)| Some(*rank) == ended_by).unwrap_or(0);
    if panics.is_empty() {
        return values;
    }
    let (rank, panic) = panics.swap_remove(first);
    match text(panic.as_ref()) {
        Some(text) => panic!("rank {rank}: {text}"),
        None => resume_unwind(panic),
    }
}

fn text(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
}

/// One rank of a group of threads.
#[derive(Debug)]
struct Thread {
    rank: usize,
    meeting: Arc<Meeting>,
}

impl Thread {
    fn exchange(&self, given: Given) -> Arc<[Given]> {
        self.meeting.exchange(self.rank, given)
    }
}

impl Collective for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.size()
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1> {
        let (device, dtype) = (values.device(), values.dtype());
        let shape = values.dims();
        let all = self.exchange(Given::values(Call::AllReduceSum, shape[0], floats(values)));
        let mut sum = all[0].values.clone();
        for other in &all[1..] {
            sum.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += value);
        }
        Tensor::from_data(TensorData::new(sum, shape), (&device, dtype))
    }

    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2> {
        let (device, dtype) = (rows.device(), rows.dtype());
        let [_, columns] = rows.dims();
        let all = self.exchange(Given::values(Call::AllGather, columns, floats(rows)));
        let values: Vec<f32> = all.iter().flat_map(|given| given.values.iter().copied()).collect();
        let shape = [values.len() / columns.max(1), columns];
        Tensor::from_data(TensorData::new(values, shape), (&device, dtype))
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Vec<u8> {
        assert!(root < self.size(), "broadcast from rank {root} in a group of {}", self.size());
        let bytes = if root == self.rank { bytes } else { Vec::new() };
        self.exchange(Given::bytes(root, bytes))[root].bytes.clone()
    }

    fn barrier(&self) {
        self.exchange(Given::values(Call::Barrier, 0, Vec::new()));
    }

    fn abort(&self) {
        self.meeting.end(self.rank);
    }
}

/// # Panics
/// If the tensor has gradients: threads that share a graph deadlock.
fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    assert!(!tensor.device().is_autodiff(), "a group exchanges plain values, found a tensor with autodiff");
    if tensor.shape().num_elements() == 0 {
        return Vec::new(); // not every backend reads nothing
    }
    read_values(tensor).iter::<f32>().collect()
}

#[cfg(test)]
mod tests;
