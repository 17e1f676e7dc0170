//! MPI, through the library that the program was linked with.

use std::fmt;

use ferrompi::{Communicator, Mpi, ThreadLevel};

use crate::JobError;
use crate::launch::Local;
use crate::wire::{Lost, Wire};

/// MPI as long as it is initialised.
pub(crate) struct Library {
    _mpi: Mpi,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}

/// All processes that the launcher started.
pub(crate) struct World(Communicator);

/// Initialises MPI for calls from this thread.
pub(crate) fn start() -> Result<(Library, World), JobError> {
    let failed = |error: ferrompi::Error| JobError::Engine { engine: "MPI", reason: error.to_string() };
    let mpi = Mpi::init_thread(ThreadLevel::Funneled).map_err(failed)?;
    let world = mpi.world();
    Ok((Library { _mpi: mpi }, World(world)))
}

impl World {
    /// The place of this process among those that share memory with it.
    pub(crate) fn local(&self) -> Option<Local> {
        let here = self.0.split_shared().ok()?;
        Some(Local { rank: here.rank() as usize, size: Some(here.size() as usize) })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({} of {})", self.0.rank(), self.0.size())
    }
}

fn lost(error: ferrompi::Error) -> Lost {
    Lost(error.to_string())
}

impl Wire for World {
    fn rank(&self) -> usize {
        self.0.rank() as usize
    }

    fn size(&self) -> usize {
        self.0.size() as usize
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), Lost> {
        self.0.allgather(own, all).map_err(lost)
    }

    fn all_to_all(&self, parts: &[u8], received: &mut [u8]) -> Result<(), Lost> {
        self.0.alltoall(parts, received).map_err(lost)
    }

    fn broadcast(&self, bytes: &mut [u8], root: usize) -> Result<(), Lost> {
        self.0.broadcast(bytes, root as i32).map_err(lost)
    }

    fn abort(&self) {
        self.0.abort(1)
    }
}
