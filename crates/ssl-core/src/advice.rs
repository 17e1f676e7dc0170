//! What a method says of a run before it starts.

use std::fmt;

use crate::Progress;

/// The share of a teacher that may still be the initial network when a run ends (our choice: the recipes for short runs leave up
/// to 14 %).
const INITIAL_SHARE: f64 = 0.25;
/// The share that is proposed instead (our choice).
const PROPOSED_SHARE: f64 = 0.05;
/// The least momentum that is proposed (our choice: with less, the teacher is hardly an average).
const LEAST_MOMENTUM: f64 = 0.5;
/// Epochs after which the keys of a queue are those of networks long gone (our choice: official queues hold a twentieth of
/// ImageNet and a twelfth of CIFAR-10).
const OLD_EPOCHS: usize = 2;
/// Prototypes for each embedding that is assigned to one, from which on no run is started (our choice: in lightly's CIFAR-10
/// benchmark, 512 for a batch of 128 still learn).
const FAR_TOO_MANY: usize = 16;
/// Steps at which a schedule is looked at.
const SAMPLES: u64 = 1000;

/// A run as a method sees it before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Images to train on.
    pub images: usize,
    /// Number of their classes, if every image has a label.
    pub classes: Option<usize>,
    /// Images that the loss sees at once, over all processes: those of a micro-batch.
    pub batch: usize,
    /// Views of each image.
    pub views: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Plan {
    /// The position of a step.
    pub fn at(&self, step: u64) -> Progress {
        Progress { step, total_steps: self.steps, steps_per_epoch: self.steps_per_epoch }
    }

    /// Another number of images that the loss sees at once.
    pub fn with_batch(&self, batch: usize) -> Change {
        Change::key("schedule.batch_size", batch * self.accumulate)
    }

    /// A run that is `factor` times as long.
    pub fn with_length(&self, factor: f64) -> Change {
        Change::Steps((self.steps as f64 * factor).ceil() as u64)
    }
}

/// Something about a run that its user should know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// How serious it is.
    pub severity: Severity,
    /// What was found, as a clause: `batches of 64 images share 3000 prototypes`.
    pub found: String,
    /// What was expected instead, and why, with its source.
    pub expected: String,
    /// Changes, each of which would do.
    pub changes: Vec<Change>,
}

/// How serious an [`Advice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The run can be expected to learn less than it could.
    Unwise,
    /// The run would fail or learn nothing: it is refused.
    CannotWork,
}

/// A change to a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A field of the method's configuration.
    Option {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// Steps of the whole run.
    Steps(u64),
    /// A key of the rest of the recipe.
    Key {
        /// The key, with its section.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Change {
    /// A field of the method's configuration.
    pub fn option(field: &'static str, value: impl ToString) -> Self {
        Self::Option { field, value: value.to_string() }
    }

    /// A key of the rest of the recipe.
    pub fn key(key: impl Into<String>, value: impl ToString) -> Self {
        Self::Key { key: key.into(), value: value.to_string() }
    }
}

impl Advice {
    /// A run that can be expected to learn less than it could.
    pub fn unwise(found: impl Into<String>, expected: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { severity: Severity::Unwise, found: found.into(), expected: expected.into(), changes }
    }

    /// A run that would fail or learn nothing.
    pub fn cannot_work(found: impl Into<String>, expected: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { severity: Severity::CannotWork, ..Self::unwise(found, expected, changes) }
    }

    /// Whether a teacher is still in large part the initial network when the run ends: its momentum is too near to 1 for so few
    /// steps. `momentum` is the momentum at a step, and `field` that of the first step.
    ///
    /// ```text
    /// share of the initial network = Π momentum(step)
    /// ```
    pub fn of_teacher(plan: &Plan, field: &'static str, momentum: impl Fn(Progress) -> f64) -> Option<Self> {
        let steps = plan.steps.max(1);
        let samples = steps.min(SAMPLES);
        let step = |sample: u64| (sample as f64 * steps as f64 / samples as f64) as u64;
        let log = (0..samples).map(|sample| momentum(plan.at(step(sample))).ln()).sum::<f64>();
        let share = (log / samples as f64 * steps as f64).exp();
        if share <= INITIAL_SHARE || share >= 1.0 {
            // A teacher that never moves is meant to stay.
            return None;
        }
        let factor = PROPOSED_SHARE.ln() / share.ln();
        let first = momentum(plan.at(0));
        let slower = ((1.0 - (1.0 - first) * factor) * 1e3).floor() / 1e3;
        let mut changes = vec![plan.with_length(factor)];
        if slower >= LEAST_MOMENTUM {
            changes.insert(0, Change::option(field, slower));
        }
        let found = format!(
            "after {steps} steps at a momentum from {first} on, {:.0} % of the teacher are still the initial network",
            100.0 * share
        );
        let expected = format!("at most {:.0} %, or the student learns from noise", 100.0 * INITIAL_SHARE);
        Some(Self::unwise(found, expected, changes))
    }

    /// Whether a queue of `len` rows, of which a micro-batch replaces `rows`, holds rows that are too old, or is not full until
    /// most of the run is over. `first_step` is the step at which it starts to fill.
    pub fn of_queue(plan: &Plan, field: &'static str, len: usize, rows: usize, first_step: u64) -> Vec<Self> {
        let (mut found, rows_of_step) = (Vec::new(), rows.saturating_mul(plan.accumulate).max(1));
        let of_epoch = (rows_of_step as u64).saturating_mul(plan.steps_per_epoch.max(1));
        let epochs = len as f64 / of_epoch as f64;
        let fitting = Self::fitting_queue(plan, rows, of_epoch);
        if epochs > OLD_EPOCHS as f64 {
            let said = format!(
                "a queue of {len} rows keeps those of {epochs:.1} epochs, so that an image is compared with older rows of itself"
            );
            let most = of_epoch.saturating_mul(OLD_EPOCHS as u64);
            let expected = format!("at most {OLD_EPOCHS} epochs, {most} rows");
            found.push(Self::unwise(said, expected, vec![Change::option(field, fitting)]));
        }
        let full = first_step.saturating_add((len as u64).div_ceil(rows_of_step as u64));
        if full > plan.steps / 2 {
            let said = format!("a queue of {len} rows is full after {full} of {} steps", plan.steps);
            let half = ((plan.steps / 2).saturating_sub(first_step) as usize).saturating_mul(rows_of_step);
            let mut changes = vec![plan.with_length(2.0 * full as f64 / plan.steps.max(1) as f64)];
            if half >= rows {
                changes.insert(0, Change::option(field, (half / rows * rows).min(fitting)));
            }
            let expected =
                "a full one for half of the run at least: until then, it holds random vectors or is not used";
            found.push(Self::unwise(said, expected, changes));
        }
        found
    }

    /// The rows of half an epoch, in whole micro-batches.
    fn fitting_queue(plan: &Plan, rows: usize, of_epoch: u64) -> usize {
        let rows = rows.max(1);
        ((of_epoch as usize / 2).min(plan.images.max(rows)) / rows).max(1) * rows
    }

    /// Whether there are more prototypes than embeddings that are shared out among them at a time. `changes` are those that only the
    /// method knows.
    ///
    /// # Source
    /// Caron et al. 2020, section 3.1: a batch that is small compared to the number of prototypes cannot be partitioned equally.
    pub fn of_prototypes(
        plan: &Plan,
        field: &'static str,
        prototypes: usize,
        rows: usize,
        changes: Vec<Change>,
    ) -> Option<Self> {
        if rows >= prototypes {
            return None;
        }
        let found = format!("{rows} embeddings at a time are shared out among {prototypes} prototypes");
        let expected = "at least as many embeddings, or most prototypes stand for nothing";
        let mut all = vec![Change::option(field, 1_usize << rows.max(1).ilog2())];
        all.extend(changes);
        let batch = (plan.batch * prototypes.div_ceil(rows.max(1))).next_power_of_two();
        if batch <= plan.images {
            all.push(plan.with_batch(batch));
        }
        Some(match rows * FAR_TOO_MANY < prototypes {
            true => Self::cannot_work(found, expected, all),
            false => Self::unwise(found, expected, all),
        })
    }

    /// Whether a layer stays as it was drawn for most of the run: for its first `steps` steps. `layer` is its name with an article,
    /// `field` says how long.
    pub fn of_frozen_layer(plan: &Plan, field: &'static str, layer: &str, steps: u64) -> Option<Self> {
        if steps <= plan.steps / 2 {
            return None;
        }
        let found =
            format!("{layer} is not trained in the first {} of {} steps", steps.min(plan.steps), plan.steps);
        let expected = "half of the run at most: it is to wait until the network has begun to learn";
        let changes =
            vec![Change::option(field, 0), plan.with_length(2.0 * steps as f64 / plan.steps.max(1) as f64)];
        Some(Self::unwise(found, expected, changes))
    }

    /// [`of_teacher`](Self::of_teacher) and [`of_frozen_layer`](Self::of_frozen_layer) for methods whose student learns the outputs of
    /// its own average through a head, the last layer of which stays as it was drawn for some epochs. The fields are
    /// `teacher_momentum` and `freeze_last_layer_epochs`.
    ///
    /// # Source
    /// Official DINO code, `utils.cancel_gradients_last_layer` and the schedule of the teacher's momentum.
    pub fn of_self_distillation(
        plan: &Plan,
        frozen_epochs: u64,
        momentum: impl Fn(Progress) -> f64,
    ) -> Vec<Self> {
        let steps = frozen_epochs.saturating_mul(plan.steps_per_epoch);
        let frozen =
            Self::of_frozen_layer(plan, "freeze_last_layer_epochs", "the last layer of the head", steps);
        Self::of_teacher(plan, "teacher_momentum", momentum).into_iter().chain(frozen).collect()
    }

    /// Whether a loss that tells an image from the others of its batch has few others, at so low a temperature that the nearest of
    /// them alone count. `field` is the temperature's.
    ///
    /// # Source
    /// Chen et al. 2020, figure 9: batches below 256 lose accuracy, most of it in short runs. A temperature of 0.2 is our choice,
    /// on validation images, for batches of 128.
    pub fn of_negatives(plan: &Plan, field: &'static str, temperature: f64) -> Option<Self> {
        let (batch, few, low) = (plan.batch, 128, 0.2);
        if batch >= few || temperature >= low {
            return None;
        }
        let found = format!(
            "an image is compared with the {} others of its batch at a temperature of {temperature}",
            batch - 1
        );
        let expected = format!(
            "batches of at least {few} images, or a temperature of at least {low}: the nearest of few images say little"
        );
        let mut changes = vec![Change::option(field, low)];
        if plan.images >= 2 * few {
            changes.insert(0, plan.with_batch(2 * few));
        }
        Some(Self::unwise(found, expected, changes))
    }
}

/// `batches of 64 images share 3000 prototypes, expected at least as many images`
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.found, self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: u64) -> Plan {
        Plan { images: 5000, classes: None, batch: 100, views: 2, accumulate: 1, steps, steps_per_epoch: 50 }
    }

    #[test]
    fn a_teacher_that_is_still_the_initial_network_is_told_by_its_share() {
        let advice = |steps, momentum: f64| Advice::of_teacher(&plan(steps), "momentum", |_| momentum);
        assert_eq!(advice(500, 0.99), None);
        let found = advice(100, 0.996).expect("67 % of it");
        assert_eq!(
            found.to_string(),
            "after 100 steps at a momentum from 0.996 on, 67 % of the teacher are still the initial network, expected at most \
             25 %, or the student learns from noise"
        );
        let [Change::Option { field: "momentum", value }, Change::Steps(steps)] = &found.changes[..] else {
            panic!("{found:?}")
        };
        let momentum = value.parse().expect("a number");
        assert_eq!((advice(100, momentum), advice(*steps, 0.996)), (None, None), "the changes help");
        assert_eq!(
            advice(3, 0.996).expect("slow").changes.len(),
            1,
            "no momentum is quick enough for three steps"
        );
        assert_eq!(advice(100, 1.0), None, "a frozen teacher");
        assert_eq!(advice(100, 0.0), None, "a copy of the student");
    }

    #[test]
    fn a_momentum_that_rises_to_one_counts_with_its_whole_schedule() {
        let rising = |steps| {
            Advice::of_teacher(&plan(steps), "momentum", |at| {
                0.99 + 0.01 * at.step as f64 / at.total_steps as f64
            })
        };
        assert!(rising(250).is_some() && rising(300).is_none());
        let huge = Plan { steps: 1_000_000_000, ..plan(1) };
        assert_eq!(Advice::of_teacher(&huge, "momentum", |_| 0.9999), None);
    }

    #[test]
    fn a_queue_of_many_epochs_and_one_that_fills_too_late_are_told() {
        let advice = |len, steps| Advice::of_queue(&plan(steps), "queue_len", len, 100, 0);
        assert!(advice(4000, 500).is_empty());
        let old = advice(12_000, 500);
        assert!(old[0].found.contains("2.4 epochs") && old.len() == 1, "{old:?}");
        let late = advice(4000, 50);
        assert!(late[0].found.contains("full after 40 of 50 steps") && late.len() == 1, "{late:?}");
        for found in [&old[0], &late[0]] {
            let Change::Option { value, .. } = &found.changes[0] else { panic!("{found:?}") };
            let steps = if *found == late[0] { 50 } else { 500 };
            assert!(advice(value.parse().expect("rows"), steps).is_empty(), "{value}");
        }
        let starts_late = Advice::of_queue(&plan(500), "queue_len", 400, 100, 600);
        assert!(starts_late[0].found.contains("after 604 of 500"), "{starts_late:?}");
        assert_eq!(starts_late[0].changes, [Change::Steps(1208)]);
    }

    #[test]
    fn more_prototypes_than_embeddings_are_told_and_far_more_are_refused() {
        let advice =
            |prototypes| Advice::of_prototypes(&plan(500), "prototypes", prototypes, 100, Vec::new());
        assert_eq!(advice(100), None);
        let severity = |prototypes| advice(prototypes).expect("too many").severity;
        assert_eq!(
            (severity(101), severity(1600), severity(1601)),
            (Severity::Unwise, Severity::Unwise, Severity::CannotWork)
        );
        let changes = advice(3000).expect("too many").changes;
        assert_eq!(changes, [Change::option("prototypes", 64), Change::key("schedule.batch_size", 4096)]);
    }

    #[test]
    fn a_layer_that_is_frozen_for_most_of_the_run_is_told() {
        let advice = |steps| Advice::of_frozen_layer(&plan(100), "freeze_steps", "the last layer", steps);
        assert_eq!((advice(0), advice(50)), (None, None));
        let found = advice(313).expect("all of it").to_string();
        assert!(
            found.starts_with("the last layer is not trained in the first 100 of 100 steps, expected half"),
            "{found}"
        );
    }

    #[test]
    fn lengths_that_no_run_has_are_told_and_overflow_nothing() {
        let queue = Advice::of_queue(&plan(500), "queue_len", 400, 100, u64::MAX);
        assert!(
            queue.len() == 1 && queue[0].found.contains("full after 18446744073709551615 of 500"),
            "{queue:?}"
        );
        let endless = Plan { steps_per_epoch: u64::MAX, ..plan(500) };
        assert!(Advice::of_queue(&endless, "queue_len", 400, 100, 0).is_empty());
        for steps in [1 << 63, u64::MAX] {
            let frozen = Advice::of_frozen_layer(&plan(100), "freeze_steps", "the last layer", steps);
            assert!(frozen.expect("all of it").found.contains("the first 100 of 100 steps"), "{steps}");
        }
        for epochs in [1 << 62, u64::MAX] {
            let two = Plan { steps_per_epoch: 2, ..plan(100) };
            assert_eq!(Advice::of_self_distillation(&two, epochs, |_| 0.0).len(), 1, "{epochs}");
        }
    }

    #[test]
    fn few_negatives_at_a_low_temperature_are_told() {
        let advice = |batch, temperature| {
            Advice::of_negatives(&Plan { batch, ..plan(500) }, "temperature", temperature)
        };
        assert!(advice(64, 0.1).is_some() && advice(64, 0.2).is_none() && advice(128, 0.1).is_none());
        let few = Plan { images: 200, batch: 64, ..plan(500) };
        let found = Advice::of_negatives(&few, "temperature", 0.1).expect("few");
        assert_eq!(found.changes, [Change::option("temperature", 0.2)], "there are no 256 images");
    }

    #[test]
    fn a_batch_is_that_of_a_step_with_all_its_micro_batches() {
        let accumulated = Plan { accumulate: 4, ..plan(500) };
        assert_eq!(accumulated.with_batch(64), Change::key("schedule.batch_size", 256));
    }
}
