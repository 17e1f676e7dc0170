//! Memory of the process, on Linux.

use std::fs;

use serde_json::{Value, json};

/// Peak memory, of the process and above the moment of making this.
///
/// That moment is when libraries and data are in place and the measured work has not begun. Code that runs for the first
/// time is loaded then, so a small piece of the work comes before. `xtask/baseline/process.py` does the same.
pub(crate) struct Memory {
    before: Option<u64>,
    earlier_peak: Option<u64>,
    forgets: bool,
}

impl Memory {
    /// Notes what is in use, and has the system forget the peak so far.
    pub(crate) fn start() -> Self {
        give_back_freed();
        let (before, earlier_peak) = (resident("VmRSS:"), resident("VmHWM:"));
        Self { before, earlier_peak, forgets: fs::write("/proc/self/clear_refs", "5").is_ok() }
    }

    /// Adds what every result says about memory; null where the system does not tell.
    pub(crate) fn add_to(&self, result: &mut Value) {
        let peak = resident("VmHWM:");
        let above = peak.zip(self.before).map(|(peak, before)| peak.saturating_sub(before));
        result["peak_memory_bytes"] = json!(peak.max(self.earlier_peak));
        result["memory_before_bytes"] = json!(self.before);
        result["peak_memory_above_bytes"] = json!(above.filter(|_| self.forgets));
    }
}

/// A size from /proc/self/status in bytes.
fn resident(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns freed memory to the system, so that resident memory is what is in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // a function of the C library
fn give_back_freed() {
    unsafe extern "C" {
        fn malloc_trim(keep: usize) -> i32;
    }
    // SAFETY: it takes the allocator's own lock and touches nothing that is in use.
    unsafe { malloc_trim(0) };
}

/// Other C libraries have no such function.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_freed() {}
