//! A doctor: rules over what is logged anyway, which say what is wrong with a run, why, and what to change.

mod checks;
mod remedies;
mod rows;
mod rules;
mod watched;

use std::collections::BTreeSet;

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
    fn finding(&self, case: &Case<'_>) -> Option<Finding> {
        let Seen { since, evidence } = (self.check)(case)?;
        Some(Finding {
            rule: self.name.to_owned(),
            kind: self.kind,
            since,
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
        let case = Case { setting: &self.setting, rows: &self.rows };
        let silent = RULES.iter().filter(|rule| !self.said.contains(rule.name));
        let found: Vec<_> = silent.filter_map(|rule| rule.finding(&case)).collect();
        self.said.extend(found.iter().map(|finding| finding.rule.clone()));
        found
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
