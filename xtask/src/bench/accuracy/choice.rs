//! Which candidate was chosen for each method, and by which scores.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::places;
use super::quick::Quick;

/// The header of chosen.toml.
const HEADER: &str = "\
# Written by `cargo xtask bench accuracy choose`; do not edit. Per method, the candidate of candidates.toml that scored best on
# validation images, and all scores in per cent, seed 100: top-1 of a linear classifier where there is one, else of k-NN. `recipe` is
# a hash of what the recipe then says.

";

/// Candidates by method, as candidates.toml has them: parts of a recipe.
pub(super) type Candidates = BTreeMap<String, Vec<Table>>;

/// The candidates of this checkout.
pub(super) fn candidates() -> Result<Candidates> {
    let path = places::root().join(places::CHOICE).join("candidates.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a list of candidates", path.display()))
}

/// The choices by method: chosen.toml.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Chosen {
    pub(super) methods: BTreeMap<String, Choice>,
}

/// The choice for one method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// Hash of the recipe with the chosen candidate in it.
    pub(super) recipe: String,
    /// The keys and values of the chosen candidate.
    pub(super) settings: Vec<String>,
    /// The scores, best first.
    pub(super) candidates: Vec<Scored>,
}

/// One candidate and its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scored {
    pub(super) settings: Vec<String>,
    /// Hash of the recipe with this candidate in it.
    pub(super) recipe: String,
    pub(super) knn_top1: f64,
    pub(super) knn_top1_untrained: f64,
    /// Of methods that are judged by labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_top1: Option<f64>,
    pub(super) train_loss: f64,
    pub(super) seconds: f64,
    /// The commit that the program was built from.
    pub(super) commit: String,
}

impl Scored {
    /// What candidates are compared by.
    pub(super) fn score(&self) -> f64 {
        self.linear_top1.unwrap_or(self.knn_top1)
    }
}

impl Chosen {
    /// The file, relative to the root of the repository.
    pub(super) fn file() -> String {
        format!("{}/chosen.toml", places::CHOICE)
    }

    fn path() -> PathBuf {
        places::root().join(Self::file())
    }

    /// Reads the file of this checkout; without one, there are no choices.
    pub(super) fn read() -> Result<Self> {
        let path = Self::path();
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a file of choices", path.display()))
    }

    pub(super) fn write(&self) -> Result<()> {
        let path = Self::path();
        let text = format!("{HEADER}{}", toml::to_string(self)?);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The score of a recipe, if it has one.
    pub(super) fn score(&self, method: &str, recipe: &str) -> Option<&Scored> {
        self.methods.get(method)?.candidates.iter().find(|scored| scored.recipe == recipe)
    }

    /// Adds a score and chooses again; scores of recipes that are not among today's candidates (`known`) are dropped.
    pub(super) fn take(&mut self, method: &str, scored: Scored, known: &[String]) {
        let choice = self.methods.entry(method.to_owned()).or_default();
        choice.candidates.retain(|old| known.contains(&old.recipe) && old.recipe != scored.recipe);
        choice.candidates.push(scored);
        // The sort is stable: of equal scores, the first one wins.
        choice.candidates.sort_by(|a, b| b.score().total_cmp(&a.score()));
        if let Some(best) = choice.candidates.first() {
            (choice.recipe, choice.settings) = (best.recipe.clone(), best.settings.clone());
        }
    }

    /// Fails unless all `candidates` have a score and the recipe of the library holds the best one.
    pub(super) fn verify(&self, quick: &Quick, candidates: &[Table]) -> Result<()> {
        let method = &quick.method;
        for candidate in candidates {
            let recipe = quick.with(candidate, candidates).hash();
            ensure!(
                self.score(method, &recipe).is_some(),
                "the candidate {} of {method} has no score in {}: run `cargo xtask bench accuracy choose`",
                settings(candidate).join(", "),
                Self::file()
            );
        }
        let choice = self.methods.get(method).with_context(|| format!("{method} has no candidates"))?;
        ensure!(
            quick.hash() == choice.recipe,
            "{} is not what was chosen: expected {}, and everything else unchanged since then",
            Quick::file(method),
            choice.settings.join(", ")
        );
        Ok(())
    }
}

/// The keys and values of a candidate, as the options of `--set`.
pub(super) fn settings(candidate: &Table) -> Vec<String> {
    fn list(path: &str, table: &Table, found: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => list(&format!("{path}{key}."), inner, found),
                leaf => found.push(format!("{path}{key}={leaf}")),
            }
        }
    }
    let mut found = Vec::new();
    list("", candidate, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use burn_ssl::registry::METHODS;

    use super::*;

    fn table(text: &str) -> Table {
        text.parse().expect("TOML")
    }

    fn scored(recipe: &str, knn_top1: f64) -> Scored {
        let settings = vec![format!("lr={recipe}")];
        let commit = String::new();
        let (knn_top1_untrained, train_loss, seconds) = (0.0, 0.0, 0.0);
        let recipe = recipe.to_owned();
        let linear_top1 = None;
        Scored { settings, recipe, knn_top1, knn_top1_untrained, linear_top1, train_loss, seconds, commit }
    }

    #[test]
    fn every_method_has_candidates_that_a_run_can_use() {
        let candidates = candidates().expect("the file of this checkout");
        for method in METHODS {
            let all = candidates.get(method.name).map_or(&[][..], Vec::as_slice);
            assert!((2..=5).contains(&all.len()), "{} has {} candidates", method.name, all.len());
            let quick = Quick::of(method.name).expect("a recipe");
            let hashes: Vec<_> = all.iter().map(|candidate| quick.with(candidate, all)).collect();
            for (place, recipe) in hashes.iter().enumerate() {
                recipe.resolved().unwrap_or_else(|error| panic!("{} {place}: {error}", method.name));
                let twins = hashes.iter().filter(|other| other.hash() == recipe.hash()).count();
                assert_eq!(twins, 1, "{} {place} comes twice", method.name);
            }
        }
    }

    #[test]
    fn the_best_score_is_chosen_and_candidates_of_yesterday_are_dropped() {
        let mut chosen = Chosen::default();
        let known = ["1".to_owned(), "2".to_owned()];
        for (recipe, score) in [("0", 99.0), ("1", 30.0), ("2", 31.0), ("1", 30.5)] {
            chosen.take("simclr", scored(recipe, score), &known);
        }
        let choice = &chosen.methods["simclr"];
        assert_eq!((choice.recipe.as_str(), choice.settings.join(" ")), ("2", "lr=2".to_owned()));
        let kept: Vec<_> = choice.candidates.iter().map(|scored| scored.knn_top1).collect();
        assert_eq!(kept, [31.0, 30.5]);
        let by_labels = Scored { linear_top1: Some(32.0), ..scored("1", 30.5) };
        chosen.take("simclr", by_labels, &known);
        assert_eq!(chosen.methods["simclr"].recipe, "1", "a linear classifier counts where there is one");
    }

    #[test]
    fn the_choice_survives_its_file() {
        let mut chosen = Chosen::default();
        chosen.take("simclr-v2", scored("1", 30.0), &[]);
        let text = format!("{HEADER}{}", toml::to_string(&chosen).expect("TOML"));
        assert_eq!(toml::from_str::<Chosen>(&text).expect("its own text"), chosen);
    }

    #[test]
    fn a_recipe_is_tested_only_when_it_holds_the_best_of_all_candidates() {
        let candidates = [table("optimizer.lr = 0.1"), table("optimizer.lr = 0.2")];
        let quick = |lr: &str| Quick {
            method: "simclr".into(),
            table: table(&format!("seed = 0\n[optimizer]\nmomentum = 0.9\nlr = {lr}")),
        };
        let hash = |place: usize| quick("0.1").with(&candidates[place], &candidates).hash();
        let mut chosen = Chosen::default();
        let verify = |chosen: &Chosen, quick: &Quick| {
            chosen.verify(quick, &candidates).map_err(|error| error.to_string())
        };

        chosen.take("simclr", scored(&hash(0), 30.0), &[hash(0), hash(1)]);
        let missing = verify(&chosen, &quick("0.1")).expect_err("one has no score");
        assert!(missing.starts_with("the candidate optimizer.lr=0.2 of simclr has no score"), "{missing}");

        chosen.take("simclr", scored(&hash(1), 31.0), &[hash(0), hash(1)]);
        assert_eq!(verify(&chosen, &quick("0.2")), Ok(()));
        let other = verify(&chosen, &quick("0.1")).expect_err("the worse one");
        assert!(other.contains("cifar10-quick.toml is not what was chosen"), "{other}");
        let mut changed = quick("0.2");
        changed.table.insert("seed".into(), 1.into());
        assert!(verify(&chosen, &changed).is_err(), "another recipe than the one that was scored");
    }
}
