//! This process: what it shows, and the job that it belongs to.

use anyhow::Result;
use burn_ssl::core::{DeviceSpec, Group};
use burn_ssl::dist::{Job, Local};
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
        let visible = || {
            let first: Option<DeviceSpec> = format!("{name}:0").parse().ok();
            first.and_then(|first| first.found().ok().flatten()).map_or(0, |found| found.len())
        };
        Ok(own_device(name, self.job.local(), visible).parse()?)
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

/// The name of this process's device, where so many GPUs of the kind are visible.
fn own_device(name: &str, local: Option<Local>, visible: impl FnOnce() -> usize) -> String {
    match local {
        Some(local) if matches!(name, "tch:cuda" | "cuda" | "rocm" | "wgpu" | "vulkan") => {
            // A scheduler may show each process a GPU of its own.
            format!("{name}:{}", local.rank % visible().max(1))
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_without_a_number_is_that_of_the_process_on_its_machine() {
        let of = |name: &str, rank: Option<usize>, visible: usize| {
            own_device(name, rank.map(|rank| Local { rank, size: None }), || visible)
        };
        assert_eq!(of("tch:cuda", Some(3), 8), "tch:cuda:3");
        assert_eq!(of("cuda", Some(3), 1), "cuda:0", "each process sees one GPU, its own");
        assert_eq!(of("cuda", Some(1), 0), "cuda:0", "a device that is not there is an error later");
        assert_eq!(of("cuda:2", Some(0), 8), "cuda:2", "a number counts");
        assert_eq!(of("flex", Some(3), 8), "flex");
        assert_eq!(of("cuda", None, 8), "cuda", "a process alone");
    }
}
