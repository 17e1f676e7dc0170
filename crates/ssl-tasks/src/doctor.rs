//! A doctor: rules over what is logged anyway, which say what is wrong with a run, why, and what to change.

mod checks;
mod remedies;
mod rows;
mod rules;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

use ssl_core::{LossScale, MethodRules, Progress};
use ssl_train::{Finding, FindingKind};
use toml::Table;

use crate::Recipe;
use rows::Rows;
use rules::RULES;
pub(crate) use watched::Watched;

/// What a run was told to do, as far as rules ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// Options of the method, all of them.
    pub(crate) options: Table,
    /// Their defaults.
    pub(crate) defaults: Table,
    /// `optimizer.lr`
    pub(crate) lr: f64,
    /// Images of a step.
    pub(crate) batch: usize,
    /// Images of the run.
    pub(crate) images: usize,
    /// Rows of the queue that an image replaces, if there is a queue.
    pub(crate) queue_rows_of_image: usize,
    /// Threads that load images.
    pub(crate) workers: usize,
    /// What values of the loss mean.
    pub(crate) scale: LossScale,
    /// Whether the method hides patches, so that its loss and its features are of another kind.
    pub(crate) hides_patches: bool,
    /// Whether blocks begin at almost nothing, so that an untrained network hardly tells images apart.
    pub(crate) layer_scale: bool,
    /// Whether the method learns what a frozen network says, which it may do perfectly.
    pub(crate) copies: bool,
}

impl Setting {
    pub(crate) fn of(recipe: &Recipe, defaults: &Table, method: &impl MethodRules, images: usize) -> Self {
        let needs = method.needs();
        Self {
            options: recipe.method_options.clone(),
            defaults: defaults.clone(),
            lr: recipe.optimizer.lr,
            batch: recipe.schedule.batch_size,
            images,
            queue_rows_of_image: method.queue_rows_of_image(),
            workers: recipe.data.worker_threads(),
            scale: method.loss_scale(recipe.train_config().micro_batch()),
            hides_patches: needs.masks.is_some(),
            layer_scale: recipe.encoder.layer_scale.is_some(),
            copies: needs.teacher,
        }
    }

    /// The number that an option of the method has.
    fn number(&self, option: &str) -> Option<f64> {
        number(&self.options, option)
    }
}

fn number(table: &Table, key: &str) -> Option<f64> {
    let value = table.get(key)?;
    value.as_float().or_else(|| value.as_integer().map(|value| value as f64))
}

/// What a rule is about.
#[derive(Clone, Copy)]
struct Case<'a> {
    setting: &'a Setting,
    rows: &'a Rows,
    /// Whether one row is enough, and no epochs have to be over.
    hasty: bool,
}

impl Case<'_> {
    /// The step of the first of the last `count` rows about training, and the last value of a metric, if `holds` for its value in
    /// all of them.
    fn lasting(&self, name: &str, count: usize, holds: impl Fn(f64) -> bool) -> Option<(u64, f64)> {
        self.rows.lasting(name, self.enough(count), holds)
    }

    /// The number of rows that have to show something.
    fn enough(&self, count: usize) -> usize {
        if self.hasty { 1 } else { count }
    }

    /// Whether the first epochs are over.
    fn is_after(&self, epochs: u64) -> bool {
        let is_late = |at: Progress| at.step >= epochs.saturating_mul(at.steps_per_epoch);
        self.hasty || self.rows.last().is_some_and(|row| is_late(row.at))
    }
}

/// A rule. [docs/doctor.md](../../../docs/doctor.md) lists all of them.
struct Rule {
    name: &'static str,
    kind: FindingKind,
    /// What is wrong and why, as a sentence without a full stop.
    cause: &'static str,
    reference: &'static str,
    /// What the rows show, if they show it.
    check: fn(&Case<'_>) -> Option<Seen>,
    /// A key and a value that helps.
    remedy: fn(&Case<'_>) -> String,
}

/// What rows show.
struct Seen {
    /// The step of the first row that shows it.
    since: u64,
    /// The numbers that show it.
    evidence: String,
}

impl Rule {
    /// What is to be said; `shown` is the step from which on rows have shown it.
    fn finding(&self, case: &Case<'_>, shown: Option<u64>) -> Option<Finding> {
        let Seen { since, evidence } = (self.check)(case)?;
        Some(Finding {
            rule: self.name.to_owned(),
            kind: self.kind,
            since: shown.unwrap_or(since),
            cause: self.cause.to_owned(),
            evidence,
            remedy: (self.remedy)(case),
            reference: self.reference.to_owned(),
        })
    }
}

/// Rules, the rows that they look at, and what has been said.
#[derive(Debug, Default)]
pub(crate) struct Doctor {
    setting: Setting,
    rows: Rows,
    said: BTreeSet<String>,
    /// Of the rules whose subject the newest rows show, be they enough to speak or not, the step of the first of these rows.
    shown: BTreeMap<&'static str, u64>,
}

impl Doctor {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, ..Self::default() }
    }

    /// Looks at the next row of metrics; every rule speaks once.
    pub(crate) fn look_at(&mut self, at: Progress, values: &[(&str, f64)]) -> Vec<Finding> {
        if !self.rows.push(at, values) {
            return Vec::new();
        }
        self.note();
        let case = Case { setting: &self.setting, rows: &self.rows, hasty: false };
        let silent = RULES.iter().filter(|rule| !self.said.contains(rule.name));
        let finding = |rule: &Rule| rule.finding(&case, self.shown.get(rule.name).copied());
        let found: Vec<_> = silent.filter_map(finding).collect();
        self.said.extend(found.iter().map(|finding| finding.rule.clone()));
        found
    }

    /// Takes note of what the newest row shows.
    fn note(&mut self) {
        let case = Case { setting: &self.setting, rows: &self.rows, hasty: true };
        for rule in &RULES {
            match (rule.check)(&case) {
                Some(seen) => {
                    self.shown.entry(rule.name).or_insert(seen.since);
                }
                None => {
                    self.shown.remove(rule.name);
                }
            }
        }
    }

    /// The step of the first of the newest rows that look like a collapse.
    pub(crate) fn suspected_since(&self) -> Option<u64> {
        let of_collapse = RULES.iter().filter(|rule| rule.kind == FindingKind::Collapse);
        of_collapse.filter_map(|rule| self.shown.get(rule.name).copied()).min()
    }

    /// Takes note that a rule has spoken.
    pub(crate) fn has_said(&mut self, rule: &str) {
        self.said.insert(rule.to_owned());
    }

    /// Forgets that some rules have spoken.
    fn take_back(&mut self, findings: &[Finding]) {
        findings.iter().for_each(|finding| {
            self.said.remove(&finding.rule);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows a doctor rows of training, one every ten steps from `step` on, with a value each.
    fn show(doctor: &mut Doctor, step: u64, name: &str, values: &[f64]) -> Vec<Finding> {
        let rows = values.iter().zip(0..).flat_map(|(&value, row)| {
            let at = Progress { step: step + 10 * row, total_steps: 10_000, steps_per_epoch: 100 };
            doctor.look_at(at, &[("lr", 0.1), (name, value)])
        });
        rows.collect()
    }

    #[test]
    fn a_collapse_is_suspected_from_its_first_row_on_until_a_row_shows_it_no_longer() {
        let mut doctor = Doctor::new(Setting::default());
        assert_eq!(
            (show(&mut doctor, 10, "z_std", &[0.1, 0.0, 0.0]), doctor.suspected_since()),
            (vec![], Some(20))
        );
        assert_eq!((show(&mut doctor, 40, "z_std", &[0.1]), doctor.suspected_since()), (vec![], None));
        let found = show(&mut doctor, 50, "z_std", &[0.0, 0.0, 0.0, 0.0]);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert_eq!((finding.rule.as_str(), finding.since), ("embeddings-collapsed", 50));
        assert_eq!(doctor.suspected_since(), Some(50), "it has been said, and is still there");
    }

    #[test]
    fn advice_is_no_suspicion() {
        let mut doctor = Doctor::new(Setting::default());
        let found = show(&mut doctor, 10, "center_norm", &[0.0; 3]);
        assert_eq!((found.len(), doctor.suspected_since()), (1, None), "{found:?}");
    }

    #[test]
    fn what_has_to_last_for_epochs_is_there_since_its_first_row() {
        let options = Table::from_iter([("output_dim".to_owned(), toml::Value::Integer(10))]);
        let mut doctor = Doctor::new(Setting { options, ..Setting::default() });
        let found = show(&mut doctor, 10, "teacher_entropy", &[10_f64.ln(); 20]);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert_eq!((finding.rule.as_str(), finding.since), ("teacher-undecided", 10));
    }

    #[test]
    fn a_queue_is_as_old_as_the_rows_that_an_epoch_leaves_in_it() {
        let found = |queue: i64, queue_rows_of_image: usize| {
            let options = Table::from_iter([("queue_len".to_owned(), toml::Value::Integer(queue))]);
            let (images, batch) = (100, 30);
            let setting = Setting { options, images, batch, queue_rows_of_image, ..Setting::default() };
            show(&mut Doctor::new(setting), 10, "train_loss", &[1.0])
        };
        assert_eq!((found(200, 1), found(300, 2), found(400, 2)), (vec![], vec![], vec![]));
        for (queue, rows, evidence, remedy) in [
            (300, 1, "queue_len 300, 3.0 times the 100 of an epoch", "method_options.queue_len=90"),
            (500, 2, "queue_len 500, 2.5 times the 200 of an epoch", "method_options.queue_len=180"),
        ] {
            let found = found(queue, rows);
            let [finding] = &found[..] else { panic!("{found:?}") };
            let seen = [&finding.rule, &finding.evidence, &finding.remedy].map(String::as_str);
            assert_eq!(seen, ["queue-too-old", evidence, remedy]);
        }
    }
}
