//! Recipes by name.

mod auto;
mod name;

use std::path::Path;

pub use auto::{Batch, Chosen, Wanted, fit_batch, fit_warmup};
pub use name::RecipeName;
pub use ssl_tasks::recipe::*;

use crate::registry::BuiltIn;

/// Functions of a [`Recipe`] that need methods and recipes by name.
pub trait NamedRecipe: Sized {
    /// A built-in recipe, such as `simclr/cifar10`; [`RecipeName::all`] lists them.
    ///
    /// # Errors
    /// If there is no recipe of that name.
    fn named(name: &str) -> Result<Self, RecipeError>;

    /// The recipe with every key written out: defaults of the method's options, the stem that `auto` selects, absolute
    /// paths.
    ///
    /// # Errors
    /// The first value out of range.
    fn resolved(self) -> Result<Self, RecipeError>;
}

impl NamedRecipe for Recipe {
    fn named(name: &str) -> Result<Self, RecipeError> {
        Draft::named(name)?.finish()
    }

    fn resolved(self) -> Result<Self, RecipeError> {
        self.resolved_by(&BuiltIn)
    }
}

/// Functions of a [`Draft`] that need recipes by name.
pub trait NamedDraft: Sized {
    /// A built-in recipe.
    ///
    /// # Errors
    /// If there is no recipe of that name.
    fn named(name: &str) -> Result<Self, RecipeError>;

    /// A built-in recipe by its name, or a file by its path. A file may name another recipe as its `base`, by name or by a path
    /// relative to the file, and hold only what differs.
    ///
    /// # Errors
    /// If it is neither, or the file is not valid TOML.
    fn open(name_or_path: &str) -> Result<Self, RecipeError>;
}

impl NamedDraft for Draft {
    fn named(name: &str) -> Result<Self, RecipeError> {
        Self::parse(name, RecipeName::find(name)?.text())
    }

    fn open(name_or_path: &str) -> Result<Self, RecipeError> {
        open(name_or_path, 0)
    }
}

/// Recipes that name each other as their base would go on for ever.
const MOST_BASES: usize = 8;

/// A recipe on top of its base, on top of the base of that.
fn open(name_or_path: &str, above: usize) -> Result<Draft, RecipeError> {
    let mut draft = match RecipeName::find(name_or_path) {
        Ok(recipe) => return Draft::parse(recipe.as_str(), recipe.text()),
        Err(error) if !is_path(name_or_path) => return Err(error),
        Err(_) => Draft::read(Path::new(name_or_path))?,
    };
    let Some(base) = draft.take_base()? else { return Ok(draft) };
    if above == MOST_BASES {
        let reason = format!("found a chain of more than {MOST_BASES} bases, expected none in a circle");
        return Err(RecipeError::Value { key: "base".to_owned(), reason });
    }
    // A path is relative to the file that it is in.
    let beside = Path::new(name_or_path).with_file_name(&base);
    let is_file = RecipeName::find(&base).is_err() && (is_path(&base) || beside.exists());
    let mut recipe =
        if is_file { open(&beside.to_string_lossy(), above + 1)? } else { open(&base, above + 1)? };
    recipe.overlay(&draft)?;
    Ok(recipe)
}

/// Whether this can only be meant as a file, which need not exist.
fn is_path(name_or_path: &str) -> bool {
    let path = Path::new(name_or_path);
    path.exists() || path.extension().is_some_and(|ending| ending == "toml") || path.is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_recipe_of_the_library_is_usable_and_survives_its_text() {
        for name in RecipeName::all() {
            let recipe = Recipe::named(name.as_str()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let resolved = recipe.resolved().unwrap_or_else(|error| panic!("{name}: {error}"));
            let again = resolved.to_toml().and_then(|text| Draft::parse("its text", &text)?.finish());
            assert_eq!(again.as_ref(), Ok(&resolved), "{name}");
        }
    }

    #[test]
    fn a_file_may_hold_only_what_differs_from_its_base() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("writable");
            path.to_string_lossy().into_owned()
        };
        write("a.toml", "base = 'simclr/cifar10'\nseed = 3\n[schedule]\nepochs = 7");
        let recipe = Draft::open(&write("b.toml", "base = 'a.toml'\n[schedule]\nbatch_size = 64"));
        let recipe = recipe.and_then(Draft::finish).expect("usable");
        let schedule = &recipe.schedule;
        assert_eq!((recipe.seed, schedule.epochs, schedule.batch_size), (3, 7, 64));
        let circle = Draft::open(&write("c.toml", "base = 'c.toml'")).expect_err("a circle").to_string();
        assert!(circle.starts_with("base: found a chain of more than 8 bases"), "{circle}");
        let absent =
            Draft::open(&write("d.toml", "base = 'simclr/cifar'")).expect_err("no such recipe").to_string();
        assert!(absent.ends_with("; did you mean simclr/cifar10 or simclr/cifar10-quick?"), "{absent}");
        let file = Draft::open("mine.toml").expect_err("no such file").to_string();
        assert!(file.starts_with("cannot read the recipe mine.toml: "), "{file}");
    }

    #[test]
    fn a_resolved_recipe_has_every_key() {
        let recipe = Recipe::named("simclr/cifar10").and_then(Recipe::resolved).expect("usable");
        let text = recipe.to_toml().expect("numbers and names");
        for key in [
            "seed",
            "precision",
            "stem",
            "hidden_dim",
            "workers",
            "nesterov",
            "accumulate",
            "lr_end",
            "every_epochs",
            "keep",
        ] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "no {key} in\n{text}");
        }
    }

    #[test]
    fn the_hash_is_of_what_decides_the_weights() {
        let hash = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::named("simclr/cifar10").and_then(Recipe::resolved).expect("usable");
            change(&mut recipe);
            recipe.hash()
        };
        let same = hash(|_| ());
        assert_eq!(same, hash(|r| r.data.path = "/elsewhere/photos".into()));
        assert_eq!(same, hash(|r| r.data.workers = 3));
        assert_eq!(same, hash(|r| r.eval.k = 3));
        assert_eq!(same, hash(|r| r.checkpoint.keep = 3));
        assert_ne!(same, hash(|r| r.seed = 1));
        assert_ne!(same, hash(|r| r.schedule.epochs += 1));
        let [here, there, other] = [
            hash(|r| r.encoder.init = Some("/here/a.safetensors".into())),
            hash(|r| r.encoder.init = Some("/there/a.safetensors".into())),
            hash(|r| r.encoder.init = Some("/here/b.safetensors".into())),
        ];
        assert!(here == there && here != other && here != same, "{here} {there} {other}");
    }

    #[test]
    fn paths_of_a_resolved_recipe_mean_the_same_in_every_folder() {
        let mut recipe = Recipe::named("demo").expect("a recipe of the library");
        recipe.eval.train = Some("photos".into());
        let recipe = recipe.resolved().expect("usable");
        assert!(recipe.eval.train.is_some_and(|path| path.is_absolute() && path.ends_with("photos")));
        assert_eq!(recipe.data.path, PathBuf::from("demo:train"));
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_refused_in_new_runs_alone() {
        let mut recipe = Recipe::named("simclr/cifar10").expect("a recipe of the library");
        (recipe.schedule.epochs, recipe.schedule.warmup_epochs) = (5, 10.0);
        let recipe = recipe.resolved().expect("runs of earlier versions have such warm-ups");
        let error = recipe.check_new().expect_err("too long").to_string();
        assert!(error.starts_with("schedule.warmup_epochs is 10 of 5, expected at most"), "{error}");
    }

    #[test]
    fn numbers_that_no_run_comes_to_are_named_by_their_key() {
        let error = |assignment: &str| {
            let (key, _) = assignment.split_once('=').expect("a key and a value");
            let mut draft = Draft::named("simclr/cifar10").expect("a recipe of the library");
            draft.assign(assignment).expect("a key");
            let said = draft.finish().and_then(Recipe::resolved).expect_err("unusable").to_string();
            assert!(
                said.starts_with(&format!("{key} is ")) && said.contains(", expected at most "),
                "{said}"
            );
        };
        for key in [
            "data.limit",
            "data.max_image_bytes",
            "eval.limit",
            "eval.k",
            "eval.every_epochs",
            "checkpoint.every_steps",
            "checkpoint.every_epochs",
            "checkpoint.keep",
        ] {
            for value in [1_i64 << 40, i64::MAX] {
                error(&format!("{key}={value}"));
            }
        }
    }

    #[test]
    fn unusable_values_are_named_by_their_key() {
        let error = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::named("simclr/cifar10").expect("a recipe of the library");
            change(&mut recipe);
            recipe.resolved().expect_err("unusable").to_string()
        };
        assert!(error(|r| r.data.image_size = 7).starts_with("data.image_size is 7, expected at least 8"));
        assert_eq!(error(|r| r.eval.k = 0), "eval.k is 0, expected at least 1");
        assert!(error(|r| r.eval.temperature = 1e308).starts_with("eval.temperature is 1"));
        assert!(error(|r| r.data.workers = 100_000).starts_with("data.workers is 100000, expected at most"));
        assert!(
            error(|r| r.schedule.batch_size = 1).starts_with("schedule.batch_size is 1, expected at least 2")
        );
        assert!(error(|r| r.optimizer.lr = -1.0).starts_with("optimizer.lr is -1"));
        let layers = error(|r| r.optimizer.layer_decay = Some(0.75));
        assert!(
            layers.starts_with("optimizer.layer_decay is 0.75 for resnet18, expected no such key"),
            "{layers}"
        );
        assert!(error(|r| r.views.clear()).contains("no views"));
        let splits = |batch| {
            let mut recipe = Recipe::named("simclr/cifar10").expect("a recipe of the library");
            (recipe.encoder.bn_splits, recipe.schedule.batch_size) = (8, batch);
            recipe.resolved().map(|_| ()).map_err(|error| error.to_string())
        };
        let expected = "1, or a divisor of the batch that leaves every group 2 images or more";
        for batch in [8, 12] {
            let found = format!("encoder.bn_splits is 8 for batches of {batch} images, expected {expected}");
            assert_eq!(splits(batch), Err(found));
        }
        assert_eq!(splits(16), Ok(()));
        assert!(
            error(|r| (r.encoder.bn_splits, r.train.embed_chunk) = (8, Some(8))).contains("batches of 8")
        );
    }
}
