//! A group of processes whose tensors pass through the host.

mod values;

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use ssl_kernels::ops::read_values;
use ssl_kernels::{Collective, Traffic};

use crate::wire::{DeviceWire, Lost, Wire};

/// Values up to which every rank sums for itself what all ranks send it, in one message instead of two (our choice).
const SMALL: usize = 1 << 12;

/// Values that are summed at a time, which bounds the buffers (our choice: 256 MiB of float32).
const BLOCK: usize = 1 << 26;

/// The panic of a call in a job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub message: String,
    /// Whether it is for this process to say so.
    pub speaks: bool,
}

/// The group over an engine's connection.
///
/// Before each call, the ranks exchange which call they make. So a rank that fails is noticed at the next call of the others, and
/// ranks that make different calls end with a sentence instead of waiting for ever.
#[derive(Debug)]
pub(crate) struct HostGroup {
    wire: Box<dyn Wire>,
    /// For tensors of some devices.
    ///
    /// Its calls return when the device has them in its queue, so what is counted as their time is what the host spends on them: the
    /// wait for other ranks and for the network is part of the step. To time them, the host would have to wait for the device before
    /// and after each, several hundred times a step with synchronised batch norm, and the device for the host in between.
    between_devices: Option<Box<dyn DeviceWire>>,
    /// Held during a call.
    line: Mutex<()>,
    /// Set where the ranks no longer agree on what comes next.
    broken: AtomicBool,
    traffic: Mutex<Traffic>,
    /// What other ranks send to sums: fresh memory would cost more than the sums.
    received: Mutex<Vec<f32>>,
}

/// What a rank announces before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Call {
    AllReduceSum,
    AllGather,
    GatherBytes,
    Broadcast,
    Barrier,
    /// No call: the rank has failed.
    Failed,
    /// No call: the rank is done.
    Part,
}

const CALLS: [(Call, &str); 7] = [
    (Call::AllReduceSum, "all_reduce_sum"),
    (Call::AllGather, "all_gather"),
    (Call::GatherBytes, "gather_bytes"),
    (Call::Broadcast, "broadcast"),
    (Call::Barrier, "barrier"),
    (Call::Failed, "failure"),
    (Call::Part, "nothing more"),
];

impl HostGroup {
    #[cfg(any(feature = "mpi", feature = "c10d", test))]
    pub(crate) fn new(wire: impl Wire) -> Self {
        Self {
            wire: Box::new(wire),
            between_devices: None,
            line: Mutex::new(()),
            broken: AtomicBool::new(false),
            traffic: Mutex::default(),
            received: Mutex::default(),
        }
    }

    /// Lets tensors of some devices go past the host if all ranks can. Returns why the ranks cannot, in their order, and nothing of
    /// those that can: a rank that decided for itself would make calls that the others do not.
    ///
    /// To be called by all ranks, before any other call.
    #[cfg(any(feature = "nccl", test))]
    pub(crate) fn between_devices(
        self,
        wire: Result<impl DeviceWire, String>,
    ) -> Result<(Self, Vec<String>), Lost> {
        let own = wire.as_ref().err().cloned().unwrap_or_default();
        let there = self.exchange(Call::GatherBytes, own.len())?;
        let sizes: Vec<u64> = there.iter().map(|(_, size)| *size).collect();
        let all = self.gather(own.as_bytes(), &sizes)?;
        let all: Vec<String> = all.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let agreed = wire.ok().filter(|_| all.iter().all(String::is_empty));
        let between_devices = agreed.map(|wire| Box::new(wire) as Box<dyn DeviceWire>);
        Ok((Self { between_devices, ..self }, all))
    }

    fn past_host(&self, device: &Device) -> Option<&dyn DeviceWire> {
        self.between_devices.as_deref().filter(|wire| wire.connects(device))
    }

    /// Tells all ranks that this one failed, and waits for them to hear it. Returns whether this rank is the one to say so: of
    /// several that fail together, the first.
    pub(crate) fn fail(&self, message: &str) -> bool {
        if self.broken.load(Ordering::SeqCst) {
            return true;
        }
        let _line = self.line();
        match self.exchange(Call::Failed, message.len()) {
            Ok(there) => match self.first_failure(&there, message) {
                Ok((rank, _)) => rank == self.wire.rank(),
                Err(_) => true,
            },
            Err(_) => true,
        }
    }

    /// Waits until all ranks have said what they have to say. To be called once, at the end.
    pub(crate) fn part(&self) {
        if self.broken.load(Ordering::SeqCst) {
            return;
        }
        let _line = self.line();
        // One that fails now is heard, too.
        while let Ok(there) = self.exchange(Call::Part, 0) {
            let fails = there.iter().any(|(other, _)| *other == Call::Failed as u8);
            if !fails || self.first_failure(&there, "").is_err() {
                break;
            }
        }
    }

    /// Whether a call was left in the middle, so that the others cannot be told anything.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    pub(crate) fn abort_all(&self) {
        self.wire.abort();
    }

    /// Makes a call together with all ranks.
    fn call<T>(&self, call: Call, size: usize, work: impl FnOnce(&[u64]) -> Result<T, Lost>) -> T {
        let _line = self.line();
        let start = Instant::now();
        self.broken.store(true, Ordering::SeqCst);
        let done = self.exchange(call, size).and_then(|there| {
            self.check(call, &there)?;
            let sizes: Vec<u64> = there.iter().map(|(_, size)| *size).collect();
            work(&sizes)
        });
        self.count(of_call(call, size, start.elapsed().as_secs_f64()));
        match done {
            Ok(done) => {
                self.broken.store(false, Ordering::SeqCst);
                done
            }
            Err(Lost(reason)) => {
                let rank = self.wire.rank();
                let message = format!("rank {rank} lost the connection to another process: {reason}");
                // The launcher tells which process it was; two that speak are enough.
                panic_any(Ended { message, speaks: self.wire.rank() < 2 })
            }
        }
    }

    /// Adds to what has been exchanged.
    fn count(&self, more: Traffic) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        *traffic = *traffic + more;
    }

    /// Copies values between a device and the host, which is part of what an exchange costs.
    fn copied<T>(&self, copy: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let copied = copy();
        self.count(Traffic { seconds: start.elapsed().as_secs_f64(), ..Traffic::default() });
        copied
    }

    /// The values of a tensor on the host.
    fn to_host<const D: usize>(&self, tensor: Tensor<D>) -> Vec<f32> {
        // What is still being computed would count as copying. Reading returns the errors of the device.
        let _ = tensor.device().sync();
        self.copied(|| on_host(tensor))
    }

    /// What all ranks announce.
    fn exchange(&self, call: Call, size: usize) -> Result<Vec<(u8, u64)>, Lost> {
        let mut own = [0; 9];
        own[0] = call as u8;
        own[1..].copy_from_slice(&(size as u64).to_le_bytes());
        let mut all = vec![0; own.len() * self.wire.size()];
        self.wire.all_gather(&own, &mut all)?;
        let read = |one: &[u8]| (one[0], u64::from_le_bytes(one[1..].try_into().unwrap_or_default()));
        Ok(all.chunks_exact(own.len()).map(read).collect())
    }

    /// Ends this rank if another one failed or makes another call.
    fn check(&self, call: Call, there: &[(u8, u64)]) -> Result<(), Lost> {
        if there.iter().any(|(other, _)| *other == Call::Failed as u8) {
            let (rank, message) = self.first_failure(there, "")?;
            self.broken.store(false, Ordering::SeqCst); // all ranks part next
            panic_any(Ended { message: format!("rank {rank}: {message}"), speaks: false });
        }
        match there.iter().position(|(other, _)| *other != call as u8) {
            None => Ok(()),
            Some(other) => {
                self.broken.store(false, Ordering::SeqCst);
                let [first, second] = [call as u8, there[other].0].map(name);
                let here = self.wire.rank();
                let message = format!(
                    "this is a bug: rank {here} calls {first} while rank {other} calls {second}, expected the same call"
                );
                panic_any(Ended { message, speaks: here == 0 })
            }
        }
    }

    /// The first rank that failed, and its message.
    fn first_failure(&self, there: &[(u8, u64)], own: &str) -> Result<(usize, String), Lost> {
        let failed = |(call, _): &(u8, u64)| *call == Call::Failed as u8;
        let rank = there.iter().position(failed).unwrap_or_default();
        let mut message = vec![0; there[rank].1 as usize];
        if rank == self.wire.rank() {
            message.copy_from_slice(own.as_bytes());
        }
        if !message.is_empty() {
            self.wire.broadcast(&mut message, rank)?;
        }
        Ok((rank, String::from_utf8_lossy(&message).into_owned()))
    }

    fn line(&self) -> MutexGuard<'_, ()> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call of this process adds to its traffic. `size` counts the values of a sum, and the bytes of any other call.
fn of_call(call: Call, size: usize, seconds: f64) -> Traffic {
    let (summed, gathered) = match call {
        Call::AllReduceSum if size > SMALL => (4 * size as u64, 0),
        Call::AllReduceSum => (0, 4 * size as u64), // every rank gets the values of all others
        _ => (0, size as u64),
    };
    Traffic { calls: 1, summed, gathered, seconds }
}

fn name(call: u8) -> &'static str {
    CALLS.iter().find(|(one, _)| *one as u8 == call).map_or("something unknown", |(_, name)| name)
}

/// The rows of all ranks, of which each has so many bytes of float32.
fn gather_padded(wire: &dyn DeviceWire, rows: Tensor<2>, sizes: &[u64]) -> Result<Tensor<2>, Lost> {
    let ([count, columns], device) = (rows.dims(), rows.device());
    let counts: Vec<usize> = sizes.iter().map(|size| *size as usize / (4 * columns.max(1))).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    if counts.iter().all(|count| *count == most) {
        return wire.all_gather(rows);
    }
    let missing = Tensor::zeros([most - count, columns], &device);
    let all = wire.all_gather(if count == most { rows } else { Tensor::cat(vec![rows, missing], 0) })?;
    let parts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    Ok(Tensor::cat(parts.map(|(rank, &count)| all.clone().narrow(0, rank * most, count)).collect(), 0))
}

/// The values of a tensor on the host.
///
/// # Panics
/// If the tensor has gradients.
fn on_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    assert!(!tensor.device().is_autodiff(), "a group exchanges plain values, found a tensor with autodiff");
    if tensor.shape().num_elements() == 0 {
        return Vec::new(); // not every backend reads nothing
    }
    read_values(tensor).convert::<f32>().try_into_vec().expect("converted to float32")
}

impl Collective for HostGroup {
    fn rank(&self) -> usize {
        self.wire.rank()
    }

    fn size(&self) -> usize {
        self.wire.size()
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1> {
        let (device, dtype, shape) = (values.device(), values.dtype(), values.dims());
        if let Some(wire) = self.past_host(&device) {
            return self.call(Call::AllReduceSum, shape[0], |sizes| {
                assert!(
                    sizes.iter().all(|size| *size == sizes[0]),
                    "sums of {sizes:?} values, expected one number"
                );
                wire.all_reduce_sum(values)
            });
        }
        let mut sums = self.to_host(values);
        self.call(Call::AllReduceSum, sums.len(), |sizes| {
            let len = sizes[0];
            assert!(sizes.iter().all(|size| *size == len), "sums of {sizes:?} values, expected one number");
            sums.chunks_mut(BLOCK).try_for_each(|block| self.sum(block))
        });
        self.copied(|| Tensor::from_data(TensorData::new(sums, shape), (&device, dtype)))
    }

    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2> {
        let (device, dtype, [count, columns]) = (rows.device(), rows.dtype(), rows.dims());
        if let Some(wire) = self.past_host(&device) {
            return self.call(Call::AllGather, 4 * count * columns, |sizes| gather_padded(wire, rows, sizes));
        }
        let own = self.to_host(rows);
        let values = self.call(Call::AllGather, 4 * own.len(), |sizes| self.gather_values(&own, sizes));
        let shape = [values.len() / columns.max(1), columns];
        self.copied(|| Tensor::from_data(TensorData::new(values, shape), (&device, dtype)))
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Vec<u8> {
        assert!(root < self.size(), "broadcast from rank {root} in a group of {}", self.size());
        self.call(Call::Broadcast, bytes.len(), |sizes| {
            let mut bytes = if root == self.rank() { bytes } else { vec![0; sizes[root] as usize] };
            if !bytes.is_empty() {
                self.wire.broadcast(&mut bytes, root)?;
            }
            Ok(bytes)
        })
    }

    fn gather_bytes(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.call(Call::GatherBytes, bytes.len(), |sizes| self.gather(&bytes, sizes))
    }

    fn barrier(&self) {
        self.call(Call::Barrier, 0, |_| Ok(()));
    }

    fn abort(&self) {
        self.abort_all();
    }

    fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
