//! The recipes for short runs, with candidates inserted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn_ssl::Recipe;
use burn_ssl::recipe::NamedRecipe;
use burn_ssl::recipe::{Draft, hash};
use toml::{Table, Value};

use super::labels::{Finetuning, by_labels};
use super::learns_from_network;
use super::places::root;

/// A recipe as written in its file; whatever the file leaves out has its default.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quick {
    pub(super) method: String,
    pub(super) table: Table,
}

impl Quick {
    /// The recipe `<method>/cifar10-quick` of this checkout, without what it was made for, which decides nothing.
    pub(super) fn of(method: &str) -> Result<Self> {
        let path = root().join(Self::file(method));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table: Table = text.parse().with_context(|| path.display().to_string())?;
        table.remove("made_for");
        Ok(Self { method: method.to_owned(), table })
    }

    /// Its file, relative to the root of the repository.
    pub(super) fn file(method: &str) -> String {
        format!("crates/burn-ssl/recipes/{method}/cifar10-quick.toml")
    }

    /// Images to train on: 20,000 for ViTs, which learn from patches what ResNets have built in.
    pub(super) fn images(&self) -> usize {
        let encoder =
            self.table.get("encoder").and_then(|encoder| encoder.get("name")).and_then(Value::as_str);
        if encoder.is_some_and(|name| name.starts_with("vit")) { 20_000 } else { 5000 }
    }

    /// The recipe with one candidate inserted. Every key of any of the method's `candidates` is removed first, so that the
    /// result does not depend on which of them the file holds today.
    pub(super) fn with(&self, candidate: &Table, candidates: &[Table]) -> Self {
        let mut table = self.table.clone();
        for keys in candidates {
            remove(&mut table, keys);
        }
        insert(&mut table, candidate);
        Self { method: self.method.clone(), table }
    }

    /// The recipe with a teacher, if its method learns from one. The choice and the hash of a run do not depend on its path.
    pub(super) fn taught_by(&self, teacher: Option<&Path>) -> Result<Self> {
        let mut taught = self.clone();
        if let Some(teacher) = teacher.filter(|_| learns_from_network(&self.method)) {
            let path = std::path::absolute(teacher)?.display().to_string();
            let options = Table::from_iter([("teacher".to_owned(), Value::String(path))]);
            insert(
                &mut taught.table,
                &Table::from_iter([("method_options".to_owned(), Value::Table(options))]),
            );
        }
        Ok(taught)
    }

    /// A hash of the recipe's contents that does not depend on the order of its keys.
    pub(super) fn hash(&self) -> String {
        hash(&self.table)
    }

    /// What runs of the test phase are known by: [`hash`](Self::hash), and that of the numbers of fine-tuning where there is some.
    pub(super) fn run_hash(&self) -> Result<String> {
        let recipe = self.hash();
        Ok(if by_labels(&self.method) { format!("{recipe}-{}", Finetuning::hash()?) } else { recipe })
    }

    /// The recipe with every key written out.
    pub(super) fn resolved(&self) -> Result<Recipe> {
        let text = toml::to_string(&self.table)?;
        Ok(Draft::parse(&self.method, &text)?.finish()?.resolved()?)
    }

    /// Writes it for both sides, as it is for ours and with every key written out for PyTorch's, and returns the two paths.
    pub(super) fn save(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let path = |ending| folder.join(format!("{}-{}.{ending}", self.method, self.hash()));
        let resolved = self.resolved().with_context(|| format!("{}/cifar10-quick", self.method))?;
        let (ours, theirs) = (path("toml"), path("json"));
        fs::write(&ours, toml::to_string(&self.table)?)?;
        fs::write(&theirs, serde_json::to_string_pretty(&resolved)? + "\n")?;
        Ok([ours, theirs])
    }
}

/// Removes the leaves of `keys` from a table.
fn remove(table: &mut Table, keys: &Table) {
    for (key, value) in keys {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(keys)) => remove(inner, keys),
            _ => drop(table.remove(key)),
        }
    }
}

/// Sets the leaves of `values` in a table.
fn insert(table: &mut Table, values: &Table) {
    for (key, value) in values {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(values)) => insert(inner, values),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn_ssl::registry::METHODS;

    use super::*;

    fn table(text: &str) -> Table {
        text.parse().expect("TOML")
    }

    fn quick(text: &str) -> Quick {
        Quick { method: "simclr".into(), table: table(text) }
    }

    #[test]
    fn every_method_has_a_recipe_of_few_narrow_epochs() {
        for method in METHODS {
            let recipe = Quick::of(method.name).and_then(|quick| quick.resolved());
            let recipe = recipe.unwrap_or_else(|error| panic!("{}: {error}", method.name));
            let size = match recipe.encoder.is_vit() {
                true => recipe.encoder.embed_dim.unwrap_or_default(),
                false => recipe.encoder.width,
            };
            let images = Quick::of(method.name).expect("a recipe").images();
            let steps = recipe.schedule.epochs * (images / recipe.schedule.batch_size) as u64;
            let found = (images, steps, size);
            let expected = if recipe.encoder.is_vit() { (20_000, 780, 96) } else { (5000, 390, 16) };
            assert_eq!((recipe.method.as_str(), found), (method.name, expected));
        }
    }

    #[test]
    fn only_methods_that_learn_from_a_network_get_a_teacher() {
        let taught = |method: &str| {
            let quick = Quick::of(method).expect("a recipe");
            let taught = quick.taught_by(Some(Path::new("/teacher.safetensors"))).expect("a path");
            assert_eq!(taught.run_hash().expect("TOML") != quick.run_hash().expect("TOML"), taught != quick);
            let options = taught.resolved().expect("a usable recipe").method_options;
            options.get("teacher").and_then(Value::as_str).map(str::to_owned)
        };
        assert_eq!(taught("distill-features").as_deref(), Some("/teacher.safetensors"));
        assert_eq!(taught("simclr"), None);
    }

    #[test]
    fn a_candidate_does_not_depend_on_the_one_that_the_file_holds() {
        let candidates = [table("o.name = 'lars'\no.eta = 1\nm.t = 0.5"), table("o.name = 'sgd'\nm.t = 0.2")];
        let files = [
            quick("seed = 0\n[o]\nmomentum = 0.9\nname = 'lars'\neta = 1\n[m]\nt = 0.5"),
            quick("seed = 0\n[o]\nname = 'sgd'\nmomentum = 0.9\n[m]\nt = 0.2"),
        ];
        for candidate in &candidates {
            let [one, two] = files.each_ref().map(|file| file.with(candidate, &candidates).hash());
            assert_eq!(one, two);
        }
        assert_eq!(files[1].with(&candidates[1], &candidates).hash(), files[1].hash());
        assert_ne!(files[0].with(&candidates[1], &candidates).hash(), files[0].hash());
    }
}
