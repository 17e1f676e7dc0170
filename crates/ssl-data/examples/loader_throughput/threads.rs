//! What the scheduler counted for the threads of this program.

use std::{fs, ops::Sub};

/// Seconds since the threads started, summed over threads; NaN where the system does not tell.
pub(super) struct Times {
    /// The loader's workers: time on a core.
    pub(super) workers_ran: f64,
    /// The loader's workers: time in which they could have run but had no core.
    pub(super) workers_waited: f64,
    /// All other threads: time on a core.
    pub(super) others_ran: f64,
}

impl Times {
    /// Of the threads that live now.
    pub(super) fn now() -> Self {
        let mut times = Self { workers_ran: 0.0, workers_waited: 0.0, others_ran: 0.0 };
        let Ok(tasks) = fs::read_dir("/proc/self/task") else {
            return Self { workers_ran: f64::NAN, workers_waited: f64::NAN, others_ran: f64::NAN };
        };
        for task in tasks.flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let counted = read("schedstat");
            let mut seconds =
                counted.split_whitespace().map(|ns| ns.parse::<f64>().unwrap_or(f64::NAN) / 1e9);
            let (ran, waited) = (seconds.next().unwrap_or(f64::NAN), seconds.next().unwrap_or(f64::NAN));
            if is_worker(read("comm").trim()) {
                times.workers_ran += ran;
                times.workers_waited += waited;
            } else {
                times.others_ran += ran;
            }
        }
        times
    }
}

impl Sub for Times {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            workers_ran: self.workers_ran - before.workers_ran,
            workers_waited: self.workers_waited - before.workers_waited,
            others_ran: self.others_ran - before.others_ran,
        }
    }
}

/// Workers are called `ssl-data-0`, `ssl-data-1`, ...; the threads that see to batches have a word there.
fn is_worker(name: &str) -> bool {
    name.strip_prefix("ssl-data-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}
