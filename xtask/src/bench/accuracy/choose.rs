//! The first phase: scores of the candidates on validation images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use clap::Args;
use toml::Table;

use super::choice::{Chosen, Scored, candidates, settings};
use super::labels::by_labels;
use super::quick::Quick;
use super::record::figure;
use super::sides::{Job, Runs};
use super::{methods, places, pool};

/// Seed of the candidates; not one of the seeds that are tested.
const SEED: u64 = 100;

/// Options of `bench accuracy choose`.
#[derive(Args)]
pub(crate) struct Choose {
    #[command(flatten)]
    runs: Runs,
}

/// One candidate without a score.
struct Trial {
    recipe: Quick,
    settings: Vec<String>,
    /// Hashes of the recipes of all candidates of the method.
    known: Vec<String>,
}

impl Choose {
    pub(super) fn run(&self) -> Result<()> {
        let chosen = Chosen::read()?;
        let candidates = candidates()?;
        let mut trials = Vec::new();
        for method in methods(&self.runs.only, self.runs.teacher.is_some())? {
            let all = candidates.get(method).map_or(&[][..], Vec::as_slice);
            trials.extend(without_score(&Quick::of(method)?, all, &chosen));
        }
        println!("{} candidates have no score yet", trials.len());
        if trials.is_empty() {
            return Ok(());
        }
        let (program, commit) = self.runs.program()?;
        let counts: BTreeSet<_> = trials.iter().map(|trial| trial.recipe.images()).collect();
        let queries =
            counts.into_iter().map(|images| Ok((images, places::validation(&self.runs.train, images)?)));
        let queries: BTreeMap<_, _> = queries.collect::<Result<_>>()?;
        let chosen = Mutex::new(chosen);
        pool::each(&trials, self.runs.jobs, |trial| {
            let scored = self.score(trial, &program, &queries[&trial.recipe.images()], &commit)?;
            println!("{} {}: {:.2}", trial.recipe.method, trial.settings.join(" "), scored.score());
            let mut chosen = chosen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            chosen.take(&trial.recipe.method, scored, &trial.known);
            chosen.write()
        })
    }

    fn score(&self, trial: &Trial, program: &Path, queries: &Path, commit: &str) -> Result<Scored> {
        let recipe = trial.recipe.taught_by(self.runs.teacher.as_deref())?;
        let [recipe, _] = recipe.save(&places::scratch("recipes")?)?;
        let job = Job {
            recipe: &recipe,
            seed: SEED,
            train: &self.runs.train,
            images: trial.recipe.images(),
            queries,
            query_limit: places::VALIDATION_IMAGES,
            finetuning: None,
            is_vit: false,
        };
        let report = job.ours(program)?.report;
        let number = |name: &str| figure(&report, name);
        Ok(Scored {
            settings: trial.settings.clone(),
            recipe: trial.recipe.hash(),
            knn_top1: number("knn_top1")?,
            knn_top1_untrained: number("knn_top1_untrained")?,
            linear_top1: by_labels(&trial.recipe.method).then(|| number("linear_top1")).transpose()?,
            train_loss: number("train_loss")?,
            seconds: number("seconds")?,
            commit: commit.to_owned(),
        })
    }
}

/// The candidates of a method that `chosen` has no score for.
fn without_score(quick: &Quick, candidates: &[Table], chosen: &Chosen) -> Vec<Trial> {
    let recipes: Vec<_> = candidates.iter().map(|candidate| quick.with(candidate, candidates)).collect();
    let known: Vec<_> = recipes.iter().map(Quick::hash).collect();
    let trials = recipes.into_iter().zip(candidates).map(|(recipe, candidate)| Trial {
        recipe,
        settings: settings(candidate),
        known: known.clone(),
    });
    trials.filter(|trial| chosen.score(&quick.method, &trial.recipe.hash()).is_none()).collect()
}
