//! What a resumed run may change.

use ssl_train::{IntactCheckpoint, ScheduleConfig};
use toml::{Table, Value};

use super::{Draft, Recipe, RecipeError, difference};

/// The option of a method that names the frozen network that it learns from.
pub(crate) const TEACHER: &str = "teacher";
/// The option that a run adds: the hash of that network's tensors.
pub(crate) const TEACHER_HASH: &str = "teacher_hash";

/// What a key does that may change when a run is resumed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing to the final weights.
    None,
    /// It changes the length of the run from the current step on, which `schedule.earlier_lengths` records.
    Length,
}

/// The keys and sections that may change when a run is resumed. All others are those of its first step.
const CHANGEABLE: [(&str, Effect); 6] = [
    ("schedule.epochs", Effect::Length),
    ("schedule.max_steps", Effect::Length),
    ("data.workers", Effect::None),
    ("eval", Effect::None),
    ("checkpoint", Effect::None),
    ("train.on_collapse", Effect::None),
];

/// The keys and sections that may change when a run is resumed, in words.
pub(crate) fn changeable() -> String {
    CHANGEABLE.map(|(key, _)| key).join(", ")
}

impl Recipe {
    /// The recipe that a checkpoint keeps; none if it is of an earlier version. `record` is the recipe in the run's directory: if
    /// its length was changed at the checkpoint or later, as a resumed run may, the result has it too.
    pub(crate) fn of_checkpoint(
        checkpoint: &IntactCheckpoint,
        record: &Self,
    ) -> Result<Option<Self>, RecipeError> {
        let Some(text) = checkpoint.recipe() else { return Ok(None) };
        let mut written = Draft::of_checkpoint(checkpoint.folder(), text)?.finish()?;
        let (step, per_epoch) = (checkpoint.step(), checkpoint.steps_per_epoch());
        let lengths = |recipe: &Self| recipe.schedule.lengths_until(step, per_epoch);
        if lengths(&written) == lengths(record) {
            written.schedule = ScheduleConfig {
                epochs: record.schedule.epochs,
                max_steps: record.schedule.max_steps,
                earlier_lengths: record.schedule.earlier_lengths.clone(),
                ..written.schedule
            };
        }
        Ok(Some(written))
    }

    /// The keys that determine the final weights of a run.
    pub(super) fn deciding(&self) -> Table {
        self.without(|effect| effect == Effect::None)
    }

    /// The first key in which two recipes differ, with both values, among those that determine the final weights.
    pub(crate) fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        difference("", &Value::Table(self.deciding()), &Value::Table(other.deciding()))
    }

    /// The first key in which two recipes differ, with both values, among those that a resumed run has to keep.
    pub(crate) fn kept_difference(&self, other: &Self) -> Option<(String, String, String)> {
        let [one, two] = [self, other].map(|recipe| Value::Table(recipe.without(|_| true)));
        difference("", &one, &two)
    }

    /// All keys but the changeable ones with such effects.
    fn without(&self, is_left_out: impl Fn(Effect) -> bool) -> Table {
        let mut table = Table::try_from(self).unwrap_or_default();
        for (key, _) in CHANGEABLE.iter().filter(|(_, effect)| is_left_out(*effect)) {
            match key.split_once('.') {
                Some((section, key)) => {
                    table.get_mut(section).and_then(Value::as_table_mut).and_then(|table| table.remove(key))
                }
                None => table.remove(*key),
            };
        }
        if let Some(options) = table.get_mut("method_options").and_then(Value::as_table_mut)
            && options.contains_key(TEACHER_HASH)
        {
            // The hash says which teacher it is, wherever it is kept.
            options.remove(TEACHER);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing;

    /// The recipe with a change.
    fn changed(assignment: &str) -> Recipe {
        let mut draft = testing::draft("simclr/cifar10");
        draft.assign(assignment).expect("a key");
        draft.finish().expect("usable")
    }

    #[test]
    fn a_teacher_may_be_kept_elsewhere_but_not_be_another() {
        let taught = |path: &str, hash: Option<&str>| {
            let mut recipe = changed("seed=0");
            let hash = hash.map(|hash| (TEACHER_HASH, hash));
            for (key, value) in [(TEACHER, path)].into_iter().chain(hash) {
                recipe.method_options.insert(key.to_owned(), value.into());
            }
            recipe
        };
        let run = taught("/here", Some("a"));
        assert_eq!(run.kept_difference(&taught("/there", Some("a"))), None);
        assert_eq!(run.hash(), taught("/there", Some("a")).hash());
        let (key, ..) = run.kept_difference(&taught("/here", Some("b"))).expect("another teacher");
        assert_eq!(key, "method_options.teacher_hash");
        assert_ne!(run.hash(), taught("/here", Some("b")).hash());
        // Without a hash the key is a method's own.
        assert!(taught("a", None).kept_difference(&taught("b", None)).is_some());
    }

    #[test]
    fn one_list_says_what_may_change_and_what_the_hash_is_of() {
        let recipe = changed("seed=0");
        for (assignment, is_kept, decides) in [
            ("optimizer.lr=7", true, true),
            ("schedule.batch_size=4", true, true),
            ("schedule.warmup_epochs=3", true, true),
            ("schedule.epochs=7", false, true),
            ("schedule.max_steps=7", false, true),
            ("data.workers=7", false, false),
            ("eval.every_epochs=7", false, false),
            ("checkpoint.keep=7", false, false),
            ("eval.linear=false", false, false),
            ("train.on_collapse=stop", false, false),
        ] {
            let other = changed(assignment);
            assert_eq!(recipe.kept_difference(&other).is_some(), is_kept, "{assignment}");
            assert_eq!(recipe.difference(&other).is_some(), decides, "{assignment}");
            assert_eq!(recipe.hash() != other.hash(), decides, "{assignment}");
        }
    }
}
