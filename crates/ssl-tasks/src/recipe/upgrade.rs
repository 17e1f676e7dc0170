//! Recipes of runs of earlier versions.

use ssl_train::{OptimizerConfig, OptimizerName};
use toml::{Table, Value};

/// Keys that moved from `[optimizer]` to `[train]`.
pub(super) const MOVED_TO_TRAIN: [&str; 2] = ["accumulate", "embed_chunk"];

/// Keys of `[optimizer]` whose value 0 meant "not set".
const ZERO_IS_UNSET: [&str; 3] = ["lr_scale_batch", "clip_norm", "embed_chunk"];

/// Converts `recipe.toml` or `classifier.toml` of an earlier version to the keys of this one.
///
/// This is for run directories only. In a new recipe, an old key is an error.
pub(crate) fn upgrade(recipe: &mut Table) {
    if let Some(checkpoint) = recipe.get_mut("checkpoint").and_then(Value::as_table_mut) {
        checkpoint.retain(|key, value| key != "every_steps" || !is_zero(value));
    }
    let Some(optimizer) = recipe.get_mut("optimizer").and_then(Value::as_table_mut) else { return };
    drop_unset(optimizer);
    drop_ineffective(optimizer);
    let moved = MOVED_TO_TRAIN.map(|key| (key, optimizer.remove(key)));
    write_defaults(optimizer);
    for (key, value) in moved {
        // One micro-batch is the default, and the record of a classifier has no section for it.
        if let Some(value) = value.filter(|value| *value != Value::Integer(1)) {
            let train = recipe.entry("train").or_insert_with(|| Value::Table(Table::new()));
            if let Some(train) = train.as_table_mut() {
                train.insert(key.to_owned(), value);
            }
        }
    }
}

/// Removes values that meant "not set".
fn drop_unset(optimizer: &mut Table) {
    optimizer.retain(|key, value| !(ZERO_IS_UNSET.contains(&key) && is_zero(value)));
    // Without these, the keys that depend on them did nothing.
    for (key, modifier) in [("lr_scale_batch", "lr_scaling"), ("clip_norm", "clip_per_parameter")] {
        if !optimizer.contains_key(key) {
            optimizer.remove(modifier);
        }
    }
}

/// Writes every key, including those added since the run, because records are compared key by key.
fn write_defaults(optimizer: &mut Table) {
    // Errors in the optimizer are reported where the recipe is read.
    let whole = optimizer.clone().try_into::<OptimizerConfig>().ok();
    if let Some(whole) = whole.and_then(|config| Table::try_from(config).ok()) {
        *optimizer = whole;
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_float() == Some(0.0) || value.as_integer() == Some(0)
}

/// Removes the keys of other optimizers, which were written for all of them and did nothing.
fn drop_ineffective(optimizer: &mut Table) {
    let name = optimizer.get("name").and_then(Value::as_str).unwrap_or_default();
    let Ok(name) = name.parse::<OptimizerName>() else { return };
    optimizer.retain(|key, value| {
        // It had an effect under every optimizer with momentum, so a run that sets it cannot be resumed without it.
        let effective =
            key == "lr_in_momentum" && *value == Value::Boolean(true) && name != OptimizerName::AdamW;
        effective || !name.lacks(key)
    });
}

#[cfg(test)]
mod tests {
    use crate::methods::testing::{AnyName, recipe};
    use ssl_train::{AdamWConfig, BatchConfig, LarsConfig, NoDecay, SgdConfig};

    use super::super::{Draft, Recipe, RecipeError};
    use super::*;

    /// What commit ca7da3d wrote for its recipe `simclr/cifar10`, up to paths.
    const RECIPE: &str = include_str!("../../../burn-ssl/tests/old_runs/recipe.toml");

    /// Its section `[optimizer]`, changed here and there.
    fn upgraded(changes: &[(&str, &str)]) -> Result<Recipe, RecipeError> {
        let change = |text: String, (old, new): &(&str, &str)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        };
        let text = changes.iter().fold(RECIPE.to_owned(), change);
        let mut table: Table = text.parse().expect("TOML");
        upgrade(&mut table);
        Draft::parse("a run", &toml::to_string(&table).expect("TOML"))?.finish()
    }

    #[test]
    fn the_recipe_of_an_old_run_is_the_one_that_it_was() {
        let error = Draft::parse("a file", RECIPE).and_then(Draft::finish).expect_err("old keys").to_string();
        assert_eq!(error, "the key 'optimizer.accumulate' has moved: write it as train.accumulate");

        let recipe = upgraded(&[]).expect("usable");
        let expected = OptimizerConfig::new(SgdConfig::default())
            .with_lr(0.06)
            .with_lr_scale_batch(128)
            .with_weight_decay(5e-4);
        assert_eq!((recipe.optimizer.clone(), recipe.train.clone()), (expected, BatchConfig::default()));
        assert_eq!(recipe.checkpoint.every_steps, None);
        assert_eq!(recipe.clone().resolved_by(&AnyName).as_ref(), Ok(&recipe), "no key is missing");
    }

    #[test]
    fn zeros_that_stood_for_nothing_are_gone_and_moved_keys_are_where_they_belong() {
        let recipe = upgraded(&[
            ("lr_scale_batch = 128", "lr_scale_batch = 0"),
            ("clip_norm = 0.0", "clip_norm = 3.0"),
            ("clip_per_parameter = false", "clip_per_parameter = true"),
            ("accumulate = 1", "accumulate = 2"),
            ("embed_chunk = 0", "embed_chunk = 64"),
            ("every_steps = 0", "every_steps = 5"),
        ]);
        let recipe = recipe.expect("usable");
        assert_eq!(recipe.optimizer.lr_scale_batch, None);
        assert_eq!((recipe.optimizer.clip_norm, recipe.optimizer.clip_per_parameter), (Some(3.0), true));
        assert_eq!(recipe.train, BatchConfig::default().with_accumulate(2).with_embed_chunk(64));
        assert_eq!(recipe.checkpoint.every_steps, Some(5));
        let useless =
            upgraded(&[("clip_per_parameter = false", "clip_per_parameter = true")]).expect("usable");
        assert!(!useless.optimizer.clip_per_parameter, "without a norm it did nothing");
    }

    #[test]
    fn keys_of_other_optimizers_are_dropped_as_they_did_nothing() {
        let lars = upgraded(&[
            ("name = \"sgd\"", "name = \"lars\""),
            ("nesterov = false", "nesterov = true"),
            ("trust_coefficient = 0.001", "trust_coefficient = 0.02"),
            ("lr_in_momentum = false", "lr_in_momentum = true"),
            ("no_decay = \"none\"", "no_decay = \"bias-and-norm\""),
        ]);
        let lars = lars.expect("usable").optimizer;
        let expected = LarsConfig::default().with_trust_coefficient(0.02).with_lr_in_momentum(true);
        assert_eq!((lars.algorithm, lars.no_decay), (expected.into(), NoDecay::BiasAndNorm));

        let adamw = upgraded(&[("name = \"sgd\"", "name = \"adamw\""), ("[0.9, 0.999]", "[0.9, 0.95]")]);
        let adamw = adamw.expect("usable").optimizer;
        assert_eq!(adamw.algorithm, AdamWConfig::default().with_betas([0.9, 0.95]).into());
    }

    #[test]
    fn a_key_that_did_something_under_another_optimizer_is_not_dropped_in_silence() {
        let error =
            upgraded(&[("lr_in_momentum = false", "lr_in_momentum = true")]).expect_err("not any more");
        assert!(error.to_string().starts_with("optimizer: sgd has no key 'lr_in_momentum'"), "{error}");
    }

    #[test]
    fn a_recipe_of_this_version_stays_as_it_is() {
        for name in ["demo", "simclr/cifar10", "swav/imagenet", "moco-v3/imagenet-vit"] {
            let recipe = recipe(name).resolved_by(&AnyName).expect("a recipe of burn-ssl");
            let mut table = Table::try_from(&recipe).expect("TOML");
            let before = table.clone();
            upgrade(&mut table);
            assert_eq!(table, before, "{name}");
        }
    }
}
