//! How much memory a run takes, before it takes it.

mod estimate;
mod job;
mod machine;

use std::fmt;

use serde::Serialize;
use ssl_core::{DeviceSpec, Group};

use estimate::of_classifier;
pub(crate) use estimate::{Run, Training, kept_images, of_checkpoint, of_run};
pub(crate) use job::{peak_in, sharing};
pub use machine::{Machine, peak};

use crate::Error;

/// A run is refused from this many times the memory of the machine on: no error of the estimate is that large.
const IMPOSSIBLE: f64 = 2.0;

/// Whether a device computes in the memory of the machine, for which estimates are made.
pub(crate) fn is_of_machine(device: &DeviceSpec) -> bool {
    matches!(device, DeviceSpec::Flex | DeviceSpec::Tch)
}

/// Checks that this machine can train a classifier on a device, as far as anything is known of both and of the encoder. A call of
/// all processes of the group.
///
/// # Errors
/// If the processes on this machine need more than twice its memory.
pub(crate) fn check_classifier(
    training: &Training<'_>,
    device: &DeviceSpec,
    group: &Group,
) -> Result<(), Error> {
    let processes = sharing(group);
    if !is_of_machine(device) {
        return Ok(());
    }
    match of_classifier(training).zip(Machine::this()) {
        Some((found, machine)) => found.check(&machine, processes),
        None => Ok(()),
    }
}

/// The memory that a run is expected to take at its peak, part by part.
///
/// It is made for the CPU and float32: within 20 % of the peak of every method on ResNets and ViTs on `flex`, see
/// `docs/benchmarks/memory`. Parts that share their memory are counted once, in the part that needs more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The parts, the largest first.
    pub parts: Vec<Part>,
}

/// A part of an [`Estimate`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its size. A recipe can ask for more than an integer holds.
    pub bytes: f64,
    /// The keys of a recipe that make it smaller.
    pub keys: &'static str,
}

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartKind {
    /// The program, its libraries and threads, and what its kernels work in.
    Program,
    /// The parameters of the student.
    Parameters,
    /// Their gradients.
    Gradients,
    /// Momentum and second moments.
    Optimizer,
    /// A teacher, with its activations.
    Teacher,
    /// A queue or a centre.
    State,
    /// What the encoder keeps for the backward pass, and the gradients there.
    Encoder,
    /// What the heads keep for the backward pass.
    Heads,
    /// What the loss works with.
    Loss,
    /// Activations of the encoder while it is evaluated, where they do not find room in those of the training.
    Evaluation,
    /// Batches of views: that of the step, and those that the loader prepares.
    Batches,
    /// Decoded images.
    Images,
    /// Copies of networks and optimizer while a checkpoint is written.
    Checkpoint,
}

impl Estimate {
    fn new(mut parts: Vec<Part>) -> Self {
        parts.retain(|part| part.bytes > 0.0);
        parts.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
        Self { parts }
    }

    /// All parts together, in bytes.
    pub fn bytes(&self) -> f64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The largest part besides the program itself, if there is any.
    pub fn largest(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind != PartKind::Program)
    }

    /// Checks that the run is possible on a machine, where so many processes take as much.
    ///
    /// # Errors
    /// If they need more than twice the machine's memory.
    pub fn check(&self, machine: &Machine, processes: usize) -> Result<(), Error> {
        let needed = self.bytes() * processes as f64;
        match self.largest() {
            Some(part) if needed > IMPOSSIBLE * machine.total => {
                let part = Part { bytes: part.bytes * processes as f64, ..*part };
                let (needed, machine) = (Bytes(needed), Bytes(machine.total));
                Err(Error::Memory { needed, machine, part, processes })
            }
            _ => Ok(()),
        }
    }

    /// What would help if so many processes are expected to need more than is free.
    pub(crate) fn short_of(&self, machine: &Machine, processes: usize) -> Option<&'static str> {
        let needed = self.bytes() * processes as f64;
        Some(self.largest().filter(|_| needed > machine.available)?.keys)
    }
}

/// `4.2 GB, of it 3.9 GB for activations of the encoder`
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Bytes(self.bytes()))?;
        match self.largest() {
            Some(part) => write!(f, ", of it {part}"),
            None => Ok(()),
        }
    }
}

/// `3.9 GB for activations of the encoder`
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", Bytes(self.bytes), self.kind)
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "the program",
            Self::Parameters => "parameters",
            Self::Gradients => "gradients of parameters",
            Self::Optimizer => "the state of the optimizer",
            Self::Teacher => "the teacher",
            Self::State => "the queue or centre of the method",
            Self::Encoder => "activations of the encoder",
            Self::Heads => "activations of the heads",
            Self::Loss => "the loss",
            Self::Evaluation => "evaluation during the run",
            Self::Batches => "batches of views",
            Self::Images => "decoded images",
            Self::Checkpoint => "writing checkpoints",
        })
    }
}

/// A size in memory, as text: `640 MB`, `4.2 GB`, in powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Bytes(
    /// Number of bytes.
    pub f64,
);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        match bytes {
            _ if bytes < 1e9 => write!(f, "{:.0} MB", bytes / 1e6),
            _ if bytes < 1e11 => write!(f, "{:.1} GB", bytes / 1e9),
            _ if bytes < 1e13 => write!(f, "{:.0} GB", bytes / 1e9),
            _ if bytes < 1e16 => write!(f, "{:.0} TB", bytes / 1e12),
            _ => write!(f, "{bytes:.0e} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::of_memory;

    fn estimate(bytes: f64) -> Estimate {
        let part = |kind, bytes| Part { kind, bytes, keys: "schedule.batch_size" };
        Estimate::new(vec![
            part(PartKind::Program, 3e9),
            part(PartKind::Loss, 0.0),
            part(PartKind::Heads, 1e9),
            part(PartKind::Encoder, bytes - 4e9),
        ])
    }

    #[test]
    fn the_largest_part_is_named_and_the_program_is_not() {
        let estimate = estimate(6e9);
        assert_eq!(estimate.to_string(), "6.0 GB, of it 2.0 GB for activations of the encoder");
        assert_eq!(estimate.parts.len(), 3, "empty parts are left out");
    }

    #[test]
    fn only_what_is_clearly_impossible_is_refused_and_a_shortage_is_told() {
        let machine = Machine { total: 10e9, available: 7e9 };
        let refused = |bytes| estimate(bytes).check(&machine, 1).map_err(|error| error.to_string());
        assert_eq!(refused(19e9), Ok(()));
        assert_eq!(
            refused(21e9).expect_err("more than twice the memory"),
            "the run needs about 21.0 GB of memory, of it 17.0 GB for activations of the encoder, \
             and this machine has 10.0 GB: expected schedule.batch_size"
        );
        let shortage =
            |bytes| of_memory(Some(&estimate(bytes)), Some(&machine), 1).map(|found| found.to_string());
        assert_eq!(shortage(6e9), None);
        assert_eq!(
            shortage(8e9).expect("more than is free"),
            "the run needs about 8.0 GB, of it 4.0 GB for activations of the encoder, \
             and 7.0 GB are free, expected schedule.batch_size"
        );
    }

    #[test]
    fn processes_on_one_machine_need_their_memory_together() {
        let (machine, estimate) = (Machine { total: 10e9, available: 7e9 }, estimate(6e9));
        assert!(estimate.check(&machine, 3).is_ok(), "18 GB are less than twice the memory");
        assert_eq!(
            estimate.check(&machine, 4).expect_err("24 GB").to_string(),
            "the run needs about 24.0 GB of memory in its 4 processes here, of it 8.0 GB for activations of the encoder, \
             and this machine has 10.0 GB: expected schedule.batch_size"
        );
        let shortage = |processes| of_memory(Some(&estimate), Some(&machine), processes);
        assert_eq!(shortage(1), None);
        assert_eq!(
            shortage(2).expect("12 GB of 7").found,
            "the run needs about 6.0 GB, of it 2.0 GB for activations of the encoder, in each of its 2 processes here, \
             and 7.0 GB are free"
        );
    }

    #[test]
    fn sizes_have_two_or_three_digits() {
        let text = [6.4e8, 4.24e9, 2.5e11, 3e14, 4e20].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(text, ["640 MB", "4.2 GB", "250 GB", "300 TB", "4e20 bytes"]);
    }
}
