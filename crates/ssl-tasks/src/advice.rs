//! What the user of a run should know before it starts.

mod rules;

use std::fmt;

use serde::Serialize;
use ssl_core::Change;

pub(crate) use rules::{Situation, disk_of, of_memory, of_run};

use crate::Recipe;

/// Something about a run that its user should know before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// How serious it is.
    pub severity: Severity,
    /// What was found, as a clause.
    pub found: String,
    /// What was expected instead, and why.
    pub expected: String,
    /// Changes to the recipe, each of which would do.
    pub changes: Vec<Assignment>,
}

/// How serious an [`Advice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run would fail or learn nothing: it is refused.
    CannotWork,
    /// The run can be expected to learn less than it could.
    Unwise,
}

/// A key of a recipe and a value for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// The key, with its section.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
}

impl Advice {
    /// Advice of a method or a rule on a run of `recipe`, whose epochs have `steps_per_epoch` steps.
    fn on(recipe: &Recipe, steps_per_epoch: u64, advice: ssl_core::Advice) -> Self {
        let ssl_core::Advice { severity, found, expected, changes } = advice;
        let severity = match severity {
            ssl_core::Severity::CannotWork => Severity::CannotWork,
            ssl_core::Severity::Unwise => Severity::Unwise,
        };
        let changes = changes.into_iter().map(|change| assignment(recipe, steps_per_epoch, change)).collect();
        Self { severity, found, expected, changes }
    }

    /// The changes, joined as alternatives; `write` writes one.
    pub fn alternatives(&self, write: impl Fn(&Assignment) -> String) -> Option<String> {
        let changes: Vec<_> = self.changes.iter().map(write).collect();
        (!changes.is_empty()).then(|| changes.join(" or "))
    }
}

/// A change as the recipe has it. Where the number of steps ends a run before its epochs, that number is to change.
fn assignment(recipe: &Recipe, steps_per_epoch: u64, change: Change) -> Assignment {
    let of_epochs = recipe.schedule.epochs.saturating_mul(steps_per_epoch);
    let is_cut = recipe.schedule.max_steps.is_some_and(|steps| steps < of_epochs);
    let (key, value) = match change {
        Change::Option { field, value } => (format!("method_options.{field}"), value),
        Change::Steps(steps) if is_cut => ("schedule.max_steps".to_owned(), steps.to_string()),
        Change::Steps(steps) => {
            ("schedule.epochs".to_owned(), steps.div_ceil(steps_per_epoch.max(1)).to_string())
        }
        Change::Key { key, value } => (key, value),
    };
    Assignment { key, value }
}

/// `schedule.epochs = 200`
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CannotWork => "cannot work",
            Self::Unwise => "unwise",
        })
    }
}

/// `an image is compared with few others, expected batches of at least 128 images: schedule.batch_size = 256`
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.found, self.expected)?;
        self.alternatives(ToString::to_string).map_or(Ok(()), |changes| write!(f, "; {changes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing::recipe;

    #[test]
    fn changes_of_a_method_are_keys_of_the_recipe_and_the_key_that_ends_a_run_is_the_one_to_change() {
        let mut recipe = recipe("simclr/cifar10");
        let changes = vec![Change::option("queue_len", 64), Change::Steps(45)];
        let advice = ssl_core::Advice::unwise("too few", "more", changes);
        let on = |recipe: &Recipe| Advice::on(recipe, 10, advice.clone()).to_string();
        assert_eq!(
            on(&recipe),
            "too few, expected more; method_options.queue_len = 64 or schedule.epochs = 5"
        );
        recipe.schedule.max_steps = Some(7);
        assert_eq!(
            on(&recipe),
            "too few, expected more; method_options.queue_len = 64 or schedule.max_steps = 45"
        );
    }
}
