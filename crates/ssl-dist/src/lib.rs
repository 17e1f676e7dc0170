#![doc = include_str!("../README.md")]

mod group;
mod job;
mod launch;
mod wire;

#[cfg(feature = "c10d")]
mod c10d;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;

pub use group::Ended;
pub use job::{Job, JobError};
pub use launch::{Local, local_rank_by_environment, rank_by_environment};
