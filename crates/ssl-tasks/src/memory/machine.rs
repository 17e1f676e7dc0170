//! The memory of the machine, and what this process has taken of it.

use std::fs;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The memory of a machine, in bytes: that of a container where it has a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// All of it.
    pub total: f64,
    /// What programs can still take.
    pub available: f64,
}

impl Machine {
    /// This machine; `None` where the operating system does not tell.
    pub fn this() -> Option<Self> {
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(memory);
        let of_machine = (system.total_memory(), system.available_memory());
        let (total, available) = match system.cgroup_limits() {
            Some(limit) if limit.total_memory > 0 => {
                (of_machine.0.min(limit.total_memory), of_machine.1.min(limit.free_memory))
            }
            _ => of_machine,
        };
        (total > 0).then_some(Self { total: total as f64, available: available as f64 })
    }
}

/// The most memory that this process has held at once, in bytes; `None` outside Linux.
pub fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let machine = Machine::this().expect("the systems that tests run on tell");
        assert!(machine.total > 1e8 && machine.available <= machine.total, "{machine:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_what_is_taken() {
        let before = peak().expect("Linux tells");
        let taken = vec![1_u8; 256 << 20];
        assert!(taken.iter().step_by(4096).all(|&byte| byte == 1));
        let after = peak().expect("Linux tells");
        assert!(after >= before && after > 256 << 20, "{before} {after}");
    }
}
