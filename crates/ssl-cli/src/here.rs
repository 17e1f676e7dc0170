//! This process: what it shows, and the job that it belongs to.

use anyhow::Result;
use burn_ssl::core::{DeviceSpec, Group};
use burn_ssl::dist::Job;
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::interrupt::{self, Stop};

/// This process.
pub(crate) struct Here {
    pub(crate) bars: MultiProgress,
    pub(crate) job: Job,
}

impl Here {
    pub(crate) fn of(job: Job) -> Self {
        let bars = MultiProgress::new();
        if !job.is_first() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bars, job }
    }

    /// Whether this process speaks for all.
    pub(crate) fn speaks(&self) -> bool {
        self.job.is_first()
    }

    pub(crate) fn group(&self) -> Group {
        self.job.group().clone()
    }

    /// The device of a name. One without a number is, in a job, the GPU with the number of the process on its machine.
    pub(crate) fn device(&self, name: &str) -> Result<DeviceSpec> {
        Ok(match self.job.local() {
            Some(local) if matches!(name, "tch:cuda" | "cuda" | "rocm" | "wgpu" | "vulkan") => {
                let first: DeviceSpec = format!("{name}:0").parse()?;
                // A scheduler may show each process a GPU of its own.
                let visible = first.found().ok().flatten().map_or(0, |found| found.len());
                format!("{name}:{}", local.rank % visible.max(1)).parse()?
            }
            _ => name.parse()?,
        })
    }

    /// Listens for signals.
    pub(crate) fn stop(&self) -> Result<Stop> {
        interrupt::on_signal(&self.bars, self.speaks())
    }

    /// Listens for signals from now on, if `stop` does not yet: until a training begins, Ctrl-C ends a process that is alone.
    pub(crate) fn listen(&self, stop: &mut Stop) -> Result<()> {
        if self.group().is_solo() {
            *stop = self.stop()?;
        }
        Ok(())
    }
}
