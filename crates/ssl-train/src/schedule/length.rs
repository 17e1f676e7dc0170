//! Runs whose length changes after they began.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, limits};

use super::ScheduleConfig;

/// A length that a run was to have before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierLength {
    /// Steps that were done when the length was changed.
    pub until_step: u64,
    /// Steps that the run was to have until then.
    pub total_steps: u64,
}

impl ScheduleConfig {
    /// Number of steps that all schedules span at a step; [`Progress::total_steps`](ssl_core::Progress) of a method.
    ///
    /// It is the number of steps in the whole run, unless that was changed during the run. Then it moves from the old number to
    /// the new one, along a line that begins at the step of the change, where every schedule still has the value that it had,
    /// and ends after the epochs of the warm-up, at least one, but at most half of the remaining steps (our choice). From there
    /// on, every schedule is that of a run that had the new length from the start. What does not depend on the length stays:
    /// warm-ups in progress, constant rates, and temperatures, which follow the epoch.
    pub fn span(&self, step: u64, steps_per_epoch: u64) -> u64 {
        let mut span = self.earlier_lengths.first().map_or_else(|| self.total_steps(steps_per_epoch), total);
        for (index, change) in self.earlier_lengths.iter().enumerate() {
            if step < change.until_step {
                break;
            }
            let until = self.earlier_lengths.get(index + 1).map_or(step, |next| step.min(next.until_step));
            let to = self.length_after(index, steps_per_epoch);
            let moved = self.steps_to_move(to.saturating_sub(change.until_step), steps_per_epoch);
            span = between(span, to, (until - change.until_step).min(moved), moved);
        }
        span
    }

    /// The steps that the run had before and has after a change of its length at `step`, if there was one.
    pub fn length_change(&self, step: u64, steps_per_epoch: u64) -> Option<[u64; 2]> {
        let index = self.earlier_lengths.iter().position(|earlier| earlier.until_step == step)?;
        Some([self.earlier_lengths[index].total_steps, self.length_after(index, steps_per_epoch)])
    }

    /// The lengths that the run had until `step`; the last is the one that it had then.
    pub fn lengths_until(&self, step: u64, steps_per_epoch: u64) -> Vec<EarlierLength> {
        let earlier = self.earlier_lengths.iter().take_while(|earlier| earlier.until_step < step);
        let mut lengths: Vec<EarlierLength> = earlier.copied().collect();
        let now =
            self.earlier_lengths.get(lengths.len()).map_or_else(|| self.total_steps(steps_per_epoch), total);
        lengths.push(EarlierLength { until_step: step, total_steps: now });
        lengths
    }

    /// This schedule for a run that has done `step` steps with the schedule `before`: from there on, it has the length of this
    /// one. [`earlier_lengths`](Self::earlier_lengths) are those of `before`, and its own if the length changes.
    pub fn continuing(mut self, before: &Self, step: u64, steps_per_epoch: u64) -> Self {
        let total_steps = self.total_steps(steps_per_epoch);
        if total_steps == before.total_steps(steps_per_epoch) {
            self.earlier_lengths.clone_from(&before.earlier_lengths);
            return self;
        }
        self.earlier_lengths = before.lengths_until(step, steps_per_epoch);
        // A step before the first changes nothing, and neither does a change that is taken back before its first step.
        self.earlier_lengths.retain(|earlier| earlier.until_step > 0);
        self.earlier_lengths.pop_if(|last| last.total_steps == total_steps);
        self
    }

    /// # Errors
    /// If the lengths are not in the order of steps, or one ends before its run does.
    pub(super) fn validate_lengths(&self) -> Result<(), ConfigError> {
        let mut before = 0;
        for earlier in &self.earlier_lengths {
            let EarlierLength { until_step, total_steps } = *earlier;
            let found = format!("{total_steps} steps until step {until_step}, after step {before}");
            let expected = "steps in ascending order, none after the end of its length";
            let fits = until_step > before && until_step <= total_steps;
            ConfigError::check(fits, "schedule.earlier_lengths", found, expected)?;
            limits::steps("schedule.earlier_lengths", total_steps)?;
            before = until_step;
        }
        Ok(())
    }

    /// The length that follows the earlier one at `index`.
    fn length_after(&self, index: usize, steps_per_epoch: u64) -> u64 {
        self.earlier_lengths.get(index + 1).map_or_else(|| self.total_steps(steps_per_epoch), total)
    }

    /// How many steps the schedules take to move to a new length, at least 1.
    fn steps_to_move(&self, remaining: u64, steps_per_epoch: u64) -> u64 {
        let usual = (self.warmup_epochs.max(1.0) * steps_per_epoch as f64).round() as u64;
        usual.min(remaining / 2).max(1)
    }
}

fn total(earlier: &EarlierLength) -> u64 {
    earlier.total_steps
}

/// The whole number at `part / of` of the way from `from` to `to`, rounded towards `from`.
fn between(from: u64, to: u64, part: u64, of: u64) -> u64 {
    let way = |far: u64| (u128::from(far) * u128::from(part) / u128::from(of)) as u64;
    if to >= from { from + way(to - from) } else { from - way(from - to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OptimizerConfig, Rates};
    use ssl_core::Progress;

    const PER_EPOCH: u64 = 10;

    fn schedule(epochs: u64, earlier: &[(u64, u64)]) -> ScheduleConfig {
        let earlier =
            earlier.iter().map(|&(until_step, total_steps)| EarlierLength { until_step, total_steps });
        ScheduleConfig {
            epochs,
            warmup_epochs: 1.0,
            earlier_lengths: earlier.collect(),
            ..ScheduleConfig::default()
        }
    }

    fn rates(schedule: &ScheduleConfig, step: u64) -> Rates {
        let optimizer =
            OptimizerConfig::default().with_lr(1.0).with_weight_decay(0.04).with_weight_decay_end(0.4);
        let total_steps = schedule.span(step, PER_EPOCH);
        schedule.rates(&optimizer, Progress { step, total_steps, steps_per_epoch: PER_EPOCH })
    }

    #[test]
    fn at_the_seam_every_rate_is_where_it_was_and_after_a_warm_up_where_a_longer_run_is() {
        for (step, total) in [(100, 100), (40, 100), (70, 100)] {
            let (before, whole) = (schedule(10, &[]), schedule(30, &[]));
            let extended = schedule(30, &[(step, total)]);
            for step in [0, 5, step - 1, step] {
                let [old, new] = [&before, &extended].map(|schedule| rates(schedule, step));
                assert_eq!((old.lr, old.weight_decay), (new.lr, new.weight_decay), "at step {step}");
            }
            // No step is larger than those of a warm-up.
            for step in step..step + 10 {
                let [here, next] = [step, step + 1].map(|step| rates(&extended, step));
                assert!((here.lr - next.lr).abs() < 0.2, "{} and {} at step {step}", here.lr, next.lr);
            }
            for step in [step + 10, 200, 299] {
                let [extended, whole] = [&extended, &whole].map(|schedule| rates(schedule, step));
                assert_eq!((extended.lr, extended.weight_decay), (whole.lr, whole.weight_decay));
            }
        }
    }

    #[test]
    fn a_finished_run_starts_from_the_end_of_its_cosine_and_a_constant_rate_stays() {
        let mut extended = schedule(30, &[(100, 100)]);
        assert_eq!(rates(&extended, 100).lr, 0.0);
        assert!(rates(&extended, 110).lr > 0.7);
        extended.cosine = false;
        assert!((100..300).all(|step| rates(&extended, step).lr == 1.0));
    }

    #[test]
    fn no_schedule_is_past_its_end_however_the_length_changes() {
        for epochs in [11, 12, 30, 1000] {
            for earlier in [&[(100, 100)][..], &[(100, 100), (103, 200)], &[(20, 100), (25, 200), (31, 32)]] {
                let schedule = schedule(epochs, earlier);
                let total = schedule.total_steps(PER_EPOCH);
                assert!((0..total).all(|step| schedule.span(step, PER_EPOCH) >= step), "{schedule:?}");
                assert!(schedule.span(total - 1, PER_EPOCH).abs_diff(total) <= total / 100, "{schedule:?}");
            }
        }
    }

    #[test]
    fn a_second_change_begins_where_the_first_has_come_to() {
        let first = schedule(20, &[(100, 100)]);
        let second = schedule(60, &[(100, 100), (105, 200)]);
        assert_eq!(first.span(105, PER_EPOCH), 150);
        assert_eq!(second.span(105, PER_EPOCH), 150);
        assert_eq!((second.span(104, PER_EPOCH), second.span(115, PER_EPOCH)), (140, 600));
        assert_eq!(second.length_change(105, PER_EPOCH), Some([200, 600]));
        assert_eq!(second.length_change(100, PER_EPOCH), Some([100, 200]));
        assert_eq!(second.length_change(104, PER_EPOCH), None);
    }

    #[test]
    fn a_run_that_goes_on_keeps_the_lengths_that_it_had() {
        let continued = |epochs, before: &ScheduleConfig, step| {
            let lengths = schedule(epochs, &[]).continuing(before, step, PER_EPOCH).earlier_lengths;
            lengths.iter().map(|earlier| (earlier.until_step, earlier.total_steps)).collect::<Vec<_>>()
        };
        let once = schedule(20, &[(100, 100)]);
        assert_eq!(continued(20, &schedule(10, &[]), 100), [(100, 100)]);
        assert_eq!(continued(20, &schedule(10, &[]), 0), [], "nothing was trained yet");
        assert_eq!(continued(20, &once, 100), [(100, 100)], "killed before its first step");
        assert_eq!(continued(20, &once, 40), [(100, 100)], "from an older checkpoint");
        assert_eq!(continued(30, &once, 150), [(100, 100), (150, 200)]);
        assert_eq!(continued(30, &once, 100), [(100, 100)], "changed again before a step");
        assert_eq!(continued(10, &once, 100), [], "taken back before a step");
        assert_eq!(continued(15, &once, 120), [(100, 100), (120, 200)], "made shorter");
    }

    #[test]
    fn lengths_out_of_order_or_beyond_the_limit_are_named() {
        for earlier in [&[(0, 10)][..], &[(11, 10)], &[(5, 10), (5, 20)], &[(5, u64::MAX)]] {
            let error = schedule(30, earlier).validate().expect_err("unusable").to_string();
            assert!(error.starts_with("schedule.earlier_lengths is "), "{error}");
        }
        schedule(30, &[(5, 10), (20, 20)]).validate().expect("in order");
    }
}
