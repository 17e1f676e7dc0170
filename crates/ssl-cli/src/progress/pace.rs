//! How long a run still takes.

use std::time::Duration;

/// The pace of a run: the time of all its steps but the first, which waits for threads and the first images.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Steps and time at the end of the first step seen.
    first: Option<(u64, Duration)>,
    last: (u64, Duration),
}

impl Pace {
    /// Takes note that `step` steps are done after `elapsed`, evaluations and checkpoints included.
    pub(super) fn note(&mut self, step: u64, elapsed: Duration) {
        self.first.get_or_insert((step, elapsed));
        self.last = (step, elapsed);
    }

    /// Whether no step is done yet.
    pub(super) fn is_new(&self) -> bool {
        self.first.is_none()
    }

    /// The time until `total` steps are done; unknown before the second step.
    pub(super) fn left(&self, total: u64) -> Option<Duration> {
        let ((first, start), (last, now)) = (self.first?, self.last);
        let steps = last.checked_sub(first).filter(|steps| *steps > 0)?;
        let seconds = now.saturating_sub(start).as_secs_f64() / steps as f64;
        Duration::try_from_secs_f64(seconds * total.saturating_sub(last) as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(steps: &[(u64, u64)], total: u64) -> Option<u64> {
        let mut pace = Pace::default();
        steps.iter().for_each(|&(step, seconds)| pace.note(step, Duration::from_secs(seconds)));
        pace.left(total).map(|left| left.as_secs())
    }

    #[test]
    fn a_slow_first_step_does_not_count() {
        assert_eq!(left(&[(1, 60), (2, 62)], 12), Some(20));
    }

    #[test]
    fn the_pace_is_that_of_all_steps_evaluations_included() {
        assert_eq!(left(&[(1, 60), (2, 62), (3, 64), (4, 90)], 14), Some(100));
    }

    #[test]
    fn a_resumed_run_counts_from_where_it_went_on() {
        assert_eq!(left(&[(101, 5), (103, 9)], 113), Some(20));
    }

    #[test]
    fn nothing_is_known_before_the_second_step() {
        assert_eq!((left(&[], 10), left(&[(1, 60)], 10)), (None, None));
    }
}
