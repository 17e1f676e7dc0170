//! Recipes of runs that earlier versions started.

use ssl_train::{OptimizerConfig, OptimizerName};
use toml::{Table, Value};

/// Keys that were in `[optimizer]` and are in `[train]` now.
pub(super) const MOVED_TO_TRAIN: [&str; 2] = ["accumulate", "embed_chunk"];

/// Keys of `[optimizer]` whose value 0 stood for "not set".
const ZERO_IS_UNSET: [&str; 3] = ["lr_scale_batch", "clip_norm", "embed_chunk"];

/// Spells `recipe.toml` or `classifier.toml` of an earlier version as this one does.
///
/// Run directories go on with it. A new recipe is not upgraded: there, an old key is an error.
pub(crate) fn upgrade(recipe: &mut Table) {
    let Some(optimizer) = recipe.get_mut("optimizer").and_then(Value::as_table_mut) else { return };
    drop_unset(optimizer);
    drop_ineffective(optimizer);
    let moved = MOVED_TO_TRAIN.map(|key| (key, optimizer.remove(key)));
    write_defaults(optimizer);
    for (key, value) in moved {
        // One micro-batch is the default, and the record of a classifier has no section for it.
        if let Some(value) = value.filter(|value| *value != Value::Integer(1)) {
            let train = recipe.entry("train").or_insert_with(|| Value::Table(Table::new()));
            train.as_table_mut().map(|train| train.insert(key.to_owned(), value));
        }
    }
}

/// Removes what stood for "not set".
fn drop_unset(optimizer: &mut Table) {
    let is_zero = |value: &Value| value.as_float() == Some(0.0) || value.as_integer() == Some(0);
    optimizer.retain(|key, value| !(ZERO_IS_UNSET.contains(&key) && is_zero(value)));
    // Without these, the keys that go with them did nothing.
    for (key, modifier) in [("lr_scale_batch", "lr_scaling"), ("clip_norm", "clip_per_parameter")] {
        if !optimizer.contains_key(key) {
            optimizer.remove(modifier);
        }
    }
}

/// Writes every key, those that are younger than the run too: two records are compared key by key.
fn write_defaults(optimizer: &mut Table) {
    // What is wrong with an optimizer is said where the recipe is read.
    let whole = optimizer.clone().try_into::<OptimizerConfig>().ok();
    if let Some(whole) = whole.and_then(|config| Table::try_from(config).ok()) {
        *optimizer = whole;
    }
}

/// Removes the keys of other optimizers, which were written for all of them and did nothing.
fn drop_ineffective(optimizer: &mut Table) {
    let name = optimizer.get("name").and_then(Value::as_str).unwrap_or_default();
    let Ok(name) = name.parse::<OptimizerName>() else { return };
    optimizer.retain(|key, value| {
        // It did something under every optimizer with momentum, so a run that has it cannot go on without it.
        let effective = key == "lr_in_momentum" && *value == Value::Boolean(true) && name != OptimizerName::AdamW;
        effective || !name.lacks(key)
    });
}
