use std::{io, thread, thread::JoinHandle};

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

use crate::DataError;

/// A pool of threads that have ended when it is dropped; rayon's own does not wait for them.
pub(super) struct Workers {
    /// `None` only while it is dropped.
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start(count: usize) -> Result<Self, DataError> {
        let mut threads = Vec::with_capacity(count);
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .spawn_handler(|worker: ThreadBuilder| {
                let name = format!("ssl-data-{}", worker.index());
                threads.push(thread::Builder::new().name(name).spawn(|| worker.run())?);
                Ok(())
            })
            .build()
            .map_err(|error| DataError::Threads(io::Error::other(error)))?;
        Ok(Self { pool: Some(pool), threads })
    }

    /// Runs `work` in the pool; what it does in parallel, the workers share.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => unreachable!("the pool lives as long as its owner"),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.pool.take());
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so where its work was awaited.
            let _ = thread.join();
        }
    }
}
