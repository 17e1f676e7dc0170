//! The job that this process belongs to.

use std::sync::Arc;

use ssl_kernels::Group;

use crate::group::HostGroup;
use crate::launch::{self, Launch, Launcher, Local};
#[cfg(feature = "mpi")]
use crate::wire::Wire;

/// The processes that a launcher started together; a process that was started alone is a job of one.
///
/// ```no_run
/// let job = ssl_dist::Job::join()?;
/// println!("process {} of {}", job.group().rank(), job.group().size());
/// job.leave();
/// # Ok::<(), ssl_dist::JobError>(())
/// ```
#[derive(Debug)]
pub struct Job {
    group: Group,
    host: Option<Arc<HostGroup>>,
    local: Option<Local>,
    notice: Option<String>,
    /// Ends the engine when dropped.
    _engine: Engine,
}

#[derive(Debug)]
enum Engine {
    None,
    #[cfg(feature = "mpi")]
    Mpi {
        _library: crate::mpi::Library,
    },
}

/// Why a process cannot join its job.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// The engine is not part of this program.
    #[error(
        "{launcher} started {processes} processes of this program, which was built without {engine}: build it with \
         `--features {feature}`"
    )]
    NotCompiled {
        /// What started the processes.
        launcher: &'static str,
        /// How many it started.
        processes: usize,
        /// The engine that they need.
        engine: &'static str,
        /// The cargo feature that adds it.
        feature: &'static str,
    },
    /// Tasks that cannot find each other.
    #[error(
        "srun started {tasks} tasks without MPI, which would be {tasks} runs of their own: expected an MPI plugin of srun, such \
         as pmix, or a single task"
    )]
    SrunWithoutMpi {
        /// How many it started.
        tasks: usize,
    },
    /// A variable of `torchrun` is missing.
    #[error("RANK and WORLD_SIZE are set, but not {name}: start the job with torchrun, or set it")]
    NoVariable {
        /// Its name.
        name: &'static str,
    },
    /// A variable of `torchrun` has no usable value.
    #[error("{name} is '{value}', expected a number as torchrun sets it, RANK below WORLD_SIZE")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The engine does not start.
    #[error("{engine} does not start: {reason}")]
    Engine {
        /// The engine.
        engine: &'static str,
        /// Its words.
        reason: String,
    },
    /// The launcher and the engine disagree.
    #[error(
        "the launcher started {launched} processes, and {engine} connects {found}: use the launcher of the library that this \
         program was built with"
    )]
    Size {
        /// What the launcher says.
        launched: usize,
        /// The engine.
        engine: &'static str,
        /// What the engine says.
        found: usize,
    },
}

impl JobError {
    /// Whether the process with this rank is to tell the user, so that a job says it once. What every process has, the first one
    /// tells. Where an engine does not start, processes cannot know who else failed, and the first one of each machine tells: of
    /// a process that fails alone, the others say that it did not come.
    pub fn is_told_by(&self, rank: usize, local_rank: Option<usize>) -> bool {
        match self {
            Self::Variable { .. } => true,
            Self::Engine { .. } => rank == 0 || local_rank.is_none_or(|rank| rank == 0),
            _ => rank == 0,
        }
    }
}

impl Job {
    /// Joins the job that the environment of this process describes: one of `mpirun`, `mpiexec` or `srun` with feature `mpi`,
    /// one of `torchrun` with feature `c10d`. To be called once, in the main thread.
    ///
    /// # Errors
    /// If the engine is not compiled in or does not start, or if the environment is incomplete.
    pub fn join() -> Result<Self, JobError> {
        match launch::find(|name| std::env::var(name).ok())? {
            Some(Launch { launcher: Launcher::Mpi, size, local }) => mpi(size, local),
            Some(Launch { launcher: Launcher::Torchrun(meeting), local, .. }) if meeting.size > 1 => {
                torchrun(&meeting, local)
            }
            _ => Ok(Self::alone()),
        }
    }

    /// A job of one process.
    pub fn alone() -> Self {
        Self { group: Group::default(), host: None, local: None, notice: None, _engine: Engine::None }
    }

    /// The processes of the job.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The place of this process on its machine, if the launcher says.
    pub fn local(&self) -> Option<Local> {
        self.local
    }

    /// What the user should know of how the processes are connected, the same in all of them; it is for the first one to say.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Whether this process is the one that speaks for all.
    pub fn is_first(&self) -> bool {
        self.group.rank() == 0
    }

    /// Tells all processes that this one failed; they end with [`Ended`](crate::Ended) in their next call. Returns whether this
    /// process is to tell the user: of several that fail together, only the first is.
    ///
    /// If this process failed in the middle of a call, it cannot tell the others: [`leave`](Self::leave) then ends them.
    pub fn fail(&self, message: &str) -> bool {
        self.host.as_ref().is_none_or(|host| host.fail(message))
    }

    /// Waits until all processes have come to their end, and disconnects.
    pub fn leave(self) {
        let Some(host) = &self.host else { return };
        if host.is_broken() {
            host.abort_all();
        }
        host.part();
    }

    #[cfg(any(feature = "mpi", feature = "c10d"))]
    fn of(host: HostGroup, local: Option<Local>, engine: Engine) -> Self {
        let host = Arc::new(host);
        let collective: Arc<dyn ssl_kernels::Collective> = host.clone();
        Self { group: Group::from(collective), host: Some(host), local, notice: None, _engine: engine }
    }
}

#[cfg(feature = "mpi")]
fn mpi(launched: Option<usize>, local: Option<Local>) -> Result<Job, JobError> {
    let (library, wire) = crate::mpi::start()?;
    let found = wire.size();
    match launched {
        Some(launched) if launched != found => Err(JobError::Size { launched, engine: "MPI", found }),
        _ if found == 1 => Ok(Job { _engine: Engine::Mpi { _library: library }, ..Job::alone() }),
        _ => {
            let local = local.or_else(|| wire.local());
            Ok(Job::of(HostGroup::new(wire), local, Engine::Mpi { _library: library }))
        }
    }
}

#[cfg(not(feature = "mpi"))]
fn mpi(launched: Option<usize>, _local: Option<Local>) -> Result<Job, JobError> {
    match launched {
        Some(1) => Ok(Job::alone()),
        launched => Err(JobError::NotCompiled {
            launcher: "mpirun or srun",
            processes: launched.unwrap_or(2),
            engine: "MPI",
            feature: "mpi",
        }),
    }
}

#[cfg(feature = "c10d")]
fn torchrun(meeting: &launch::Meeting, local: Option<Local>) -> Result<Job, JobError> {
    let gloo = crate::c10d::connect(meeting)?;
    #[cfg(feature = "nccl")]
    let (group, notice) = between_gpus(gloo, meeting.size)?;
    #[cfg(not(feature = "nccl"))]
    let (group, notice) = (HostGroup::new(gloo), None);
    Ok(Job { notice, ..Job::of(group, local, Engine::None) })
}

/// The group with NCCL between its GPUs, if all processes have it, and what there is to say about that.
///
/// A job that could be faster still does its work, so it is told what is wrong and not ended.
#[cfg(feature = "nccl")]
fn between_gpus(gloo: crate::c10d::Gloo, size: usize) -> Result<(HostGroup, Option<String>), JobError> {
    let has_none = || {
        let found = ssl_kernels::DeviceSpec::TchCuda(0).found().ok().flatten();
        found.is_none_or(|found| found.is_empty())
    };
    let nccl = crate::nccl::Nccl::over(gloo.connection(), size);
    let nccl = nccl.map_err(|error| if has_none() { NO_GPU.to_owned() } else { error.to_string() });
    let (group, reasons) = HostGroup::new(gloo)
        .between_devices(nccl)
        .map_err(|crate::wire::Lost(reason)| JobError::Engine { engine: "c10d", reason })?;
    Ok((group, without_nccl(&reasons)))
}

/// Why a process without a GPU does not use NCCL.
#[cfg(any(feature = "nccl", test))]
const NO_GPU: &str = "there is no GPU of NVIDIA on its machine";

/// What there is to say where processes have these reasons not to use NCCL, in rank order; those that can use it have none.
#[cfg(any(feature = "nccl", test))]
fn without_nccl(reasons: &[String]) -> Option<String> {
    if reasons.iter().all(|reason| reason == NO_GPU) {
        return None; // every tensor is on the host
    }
    let rank = reasons.iter().position(|reason| !reason.is_empty())?;
    Some(format!(
        "rank {rank} cannot use NCCL ({}), so tensors of all GPUs pass through the host, which is slower: expected every process \
         to have a GPU and the same libraries",
        reasons[rank]
    ))
}

#[cfg(not(feature = "c10d"))]
fn torchrun(meeting: &launch::Meeting, _local: Option<Local>) -> Result<Job, JobError> {
    Err(JobError::NotCompiled {
        launcher: "torchrun",
        processes: meeting.size,
        engine: "c10d",
        feature: "c10d",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_which_process_keeps_it_from_nccl_unless_none_has_a_gpu() {
        let said =
            |reasons: &[&str]| without_nccl(&reasons.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(said(&["", ""]), None, "all use it");
        assert_eq!(said(&[NO_GPU, NO_GPU]), None, "nobody needs it");
        let notice = said(&["", "", "NCCL does not start: no driver", NO_GPU]).expect("one cannot");
        assert!(
            notice.starts_with("rank 2 cannot use NCCL (NCCL does not start: no driver), so"),
            "{notice}"
        );
        let notice = said(&[NO_GPU, ""]).expect("one cannot");
        assert!(notice.starts_with("rank 0 cannot use NCCL (there is no GPU"), "{notice}");
    }

    #[test]
    fn an_error_of_many_processes_is_told_by_few() {
        let engine = JobError::Engine { engine: "c10d", reason: "no connection".to_owned() };
        let tells = |rank, local| engine.is_told_by(rank, local);
        assert!(tells(0, Some(0)) && !tells(1, Some(1)), "once on a machine");
        assert!(tells(4, Some(0)) && !tells(5, Some(1)), "once on the next one");
        assert!(tells(3, None), "nobody knows who else is there");
        let of_all = JobError::NoVariable { name: "MASTER_PORT" };
        assert!(of_all.is_told_by(0, None) && !of_all.is_told_by(1, None));
        let own = JobError::Variable { name: "RANK", value: "x".to_owned() };
        assert!(own.is_told_by(2, Some(2)), "the others may have a number there");
    }
}
