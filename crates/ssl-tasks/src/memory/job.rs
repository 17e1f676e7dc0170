//! The memory of several processes that train together.

use std::fs;

use ssl_core::Group;
use sysinfo::System;

use super::peak;

/// How many processes of a group share the memory of this machine, this one included. A call of all processes.
pub(crate) fn sharing(group: &Group) -> usize {
    if group.is_solo() {
        return 1;
    }
    let here = machine().into_bytes();
    let all = group.gather_bytes(here.clone());
    all.iter().filter(|there| **there == here).count().max(1)
}

/// The most memory that one process of a group has held at once, in bytes; `None` outside Linux. A call of all processes.
pub(crate) fn peak_in(group: &Group) -> Option<u64> {
    let here = peak();
    if group.is_solo() {
        return here;
    }
    let all = group.gather_bytes(here.unwrap_or_default().to_le_bytes().to_vec());
    let peaks = all.iter().filter_map(|bytes| Some(u64::from_le_bytes(bytes.as_slice().try_into().ok()?)));
    peaks.max().filter(|&peak| peak > 0)
}

/// What processes on one machine have in common, and no others: many machines are called `localhost`. Containers on a machine have
/// names, and limits, of their own.
fn machine() -> String {
    let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{} {}", System::host_name().unwrap_or_default(), start.trim())
}

#[cfg(test)]
mod tests {
    use ssl_testing::ranks;

    use super::*;

    #[test]
    fn processes_on_one_machine_are_counted() {
        assert_eq!(sharing(&Group::default()), 1);
        assert_eq!(ranks(3, |group| sharing(&group)), [3, 3, 3]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_a_job_is_the_same_for_all_its_processes() {
        let before = peak_in(&Group::default()).expect("Linux tells");
        let peaks = ranks(2, |group| peak_in(&group));
        assert_eq!(peaks[0], peaks[1]);
        assert!(peaks[0].is_some_and(|peak| peak >= before), "{before} {peaks:?}");
    }
}
