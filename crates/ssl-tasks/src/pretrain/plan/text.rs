//! A plan in words.

use std::fmt;

use chrono::{DateTime, Local, TimeDelta};

use super::report::bytes;
use super::{PlanReport, Planned};
use crate::advice::Assignment;

impl PlanReport {
    /// The plan in words; `change` writes a change to the recipe.
    pub fn words(&self, change: impl Fn(&Assignment) -> String) -> String {
        let mut lines = self.lines.clone();
        lines.push(self.shapes());
        match &self.measured {
            Some(measured) => lines.extend(self.measured_lines(measured)),
            None => lines.extend(self.expected_mem.map(|memory| format!("memory: about {}", bytes(memory)))),
        }
        for advice in &self.advice {
            lines.push(format!("{}: {}, expected {}", advice.severity, advice.found, advice.expected));
            lines.extend(advice.alternatives(&change).map(|changes| format!("  try {changes}")));
        }
        if self.advice.is_empty() {
            lines.push("nothing speaks against this run".to_owned());
        }
        lines.join("\n")
    }

    fn shapes(&self) -> String {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for &size in &self.views {
            match runs.last_mut().filter(|(_, last)| *last == size) {
                Some((count, _)) => *count += 1,
                None => runs.push((1, size)),
            }
        }
        let text: Vec<_> = runs.iter().map(|(count, size)| format!("{count} of {size} pixels")).collect();
        format!("views of an image: {}", text.join(", "))
    }

    fn measured_lines(&self, measured: &Planned) -> Vec<String> {
        let Planned { measured_steps, images_per_s, data_share, seconds_per_epoch, .. } = measured;
        let parameters = measured.trained_parameters as f64 / 1e6;
        let mut lines = vec![format!("measured in {measured_steps} steps, after the first ones:")];
        let memory = match (measured.peak_mem, self.expected_mem) {
            (Some(peak), Some(expected)) => {
                Some(format!("{} at its peak; {} estimated from shapes", bytes(peak), bytes(expected)))
            }
            (Some(peak), None) => Some(format!("{} at its peak, without that of a GPU", bytes(peak))),
            (None, expected) => expected.map(|expected| format!("{} estimated from shapes", bytes(expected))),
        };
        lines.extend(memory.map(|memory| format!("  memory: {memory}")));
        lines.push(format!("  trained parameters: {parameters:.2} million, those of heads included"));
        lines.push(format!(
            "  speed: {images_per_s:.0} images/s, {} an epoch, {:.0} % of it waiting for images",
            time(*seconds_per_epoch),
            100.0 * data_share
        ));
        lines.push(self.total(measured));
        lines
            .extend(end(measured.seconds, Local::now()).map(|end| format!("  end: {end}, if it starts now")));
        let free = self.free_disk.map(|free| format!(", of {} free", bytes(free))).unwrap_or_default();
        let (disk, one) = (bytes(measured.disk), bytes(measured.checkpoint_bytes));
        lines.push(format!("  disk: {disk} at most for checkpoints of {one}{free}"));
        lines
    }

    fn total(&self, measured: &Planned) -> String {
        let Planned { seconds, step_seconds, evaluation_seconds, seconds_per_evaluation, .. } = *measured;
        let left = match self.steps_done {
            0 => "in all".to_owned(),
            done => format!("after the {done} steps that are done"),
        };
        format!(
            "  time: {} {left}, {} of it for steps and {} for evaluations of {}",
            time(seconds),
            time(step_seconds),
            time(evaluation_seconds),
            time(seconds_per_evaluation)
        )
    }
}

/// The plan in words, with changes as keys of the recipe.
impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(ToString::to_string))
    }
}

/// Seconds as a length of time with two or three digits: `45 s`, `12 min`, `3.4 h`, `2.1 days`.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        _ if seconds < 99.5 => format!("{seconds:.0} s"),
        _ if seconds < 99.5 * 60.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 48.0 * 3600.0 => format!("{:.1} h", seconds / 3600.0),
        _ if seconds < 1000.0 * 86400.0 => format!("{:.1} days", seconds / 86400.0),
        _ => format!("{:.0} years", seconds / 86400.0 / 365.25),
    }
}

/// When a run of so many seconds ends; none if that is beyond the calendar.
fn end(seconds: f64, now: DateTime<Local>) -> Option<String> {
    let length = TimeDelta::try_seconds(seconds as i64)?;
    let end = now.checked_add_signed(length)?;
    Some(end.format("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn times_have_two_or_three_digits() {
        let text = [0.04, 45.4, 100.0, 3600.0, 12_240.0, 181_440.0, 1e10].map(time);
        assert_eq!(text, ["0.0 s", "45 s", "2 min", "60 min", "3.4 h", "2.1 days", "317 years"]);
    }

    #[test]
    fn a_run_ends_at_a_time_of_the_local_clock() {
        let now = Local.with_ymd_and_hms(2026, 11, 29, 23, 30, 0).single().expect("a time");
        assert_eq!(end(3600.0, now).as_deref(), Some("2026-11-30 00:30"));
        assert_eq!(end(f64::MAX, now), None);
    }
}
