//! The second phase: the chosen recipes are tested once, on test images.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use burn_ssl::core::DeviceSpec;
use burn_ssl::data::{EvalLoader, LoaderConfig};
use burn_ssl::eval::{Embedder, knn, raw_pixels};
use burn_ssl::{Recipe, images};
use clap::Args;
use serde_json::Value;

use super::choice::{Chosen, candidates};
use super::labels::{Finetuning, by_labels};
use super::quick::Quick;
use super::record::{Figures, Record};
use super::sides::{Job, Runs, Side};
use super::{methods, places, pool, table};
use crate::bench::{build, machine};

/// Images embedded at a time.
const BATCH: usize = 250;

/// Options of `bench accuracy test`.
#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    runs: Runs,
    /// Tar of test images with the same classes.
    #[arg(long, value_name = "TAR")]
    test: PathBuf,
    /// A Python with torch, torchvision and lightly, for PyTorch's side.
    #[arg(long, value_name = "PYTHON")]
    baseline: Option<PathBuf>,
    /// The sides to run.
    #[arg(long, value_delimiter = ',', default_value = "ours,torch")]
    sides: Vec<Side>,
    /// Seeds of weights, order and views.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
    /// Skip runs that already have a result.
    #[arg(long)]
    resume: bool,
    /// Start PyTorch from the initial weights of our runs. Results from other weights do not count then.
    #[arg(long)]
    paired: bool,
    /// The example `first_steps` that writes these weights, already built, to be used instead of building it.
    #[arg(long, value_name = "PATH", requires = "paired")]
    first_steps: Option<PathBuf>,
}

/// One run of this phase.
struct Trial {
    recipe: Quick,
    /// Its recipe files, for our side and for PyTorch's.
    files: [PathBuf; 2],
    side: Side,
    seed: u64,
}

/// What the runs share.
struct Bench {
    /// Our program and its commit.
    program: Option<(PathBuf, String)>,
    /// What writes our initial weights, if PyTorch starts from them.
    first_steps: Option<PathBuf>,
    /// The commit of PyTorch's script.
    commit: String,
    /// The accuracy of raw pixels by the number of images that are trained on.
    pixels: BTreeMap<usize, f64>,
    setup: Value,
    /// Held while results are written.
    writing: Mutex<()>,
}

impl Test {
    pub(super) fn run(&self) -> Result<()> {
        let recipes = self.recipes()?;
        let trials = self.trials(&recipes)?;
        println!("{} runs have no result yet", trials.len());
        if trials.is_empty() {
            return table::write();
        }
        let is_torch = |trial: &Trial| trial.side == Side::Torch;
        ensure!(
            self.baseline.is_some() || !trials.iter().any(is_torch),
            "there is no Python for PyTorch's side: expected --baseline PYTHON or --sides ours"
        );
        let commit = clean_commit()?;
        let bench = Bench {
            first_steps: self.starts(&trials)?,
            program: if trials.iter().all(is_torch) { None } else { Some(self.runs.program()?) },
            commit,
            pixels: self.pixels_of(&trials)?,
            setup: self.setup(),
            writing: Mutex::new(()),
        };
        pool::each(&trials, self.runs.jobs, |trial| {
            let record = self.measure(trial, &bench)?;
            println!(
                "{} {} {}: {:.2}",
                record.method,
                trial.side.name(),
                trial.seed,
                record.figures.knn_top1
            );
            let _writing = bench.writing.lock();
            record.write()?;
            table::write()
        })
    }

    /// The recipes of the methods, if they hold what was chosen, and the choice is committed.
    fn recipes(&self) -> Result<Vec<Quick>> {
        let (chosen, candidates) = (Chosen::read()?, candidates()?);
        let methods = methods(&self.runs.only, self.runs.teacher.is_some())?;
        let recipes: Vec<_> = methods.into_iter().map(Quick::of).collect::<Result<_>>()?;
        for recipe in &recipes {
            let all = candidates.get(&recipe.method).map_or(&[][..], Vec::as_slice);
            chosen.verify(recipe, all)?;
        }
        let of_choice = ["candidates.toml", "finetune.toml"].map(|name| format!("{}/{name}", places::CHOICE));
        let mut files = vec![Chosen::file()];
        files.extend(of_choice);
        files.extend(recipes.iter().map(|recipe| Quick::file(&recipe.method)));
        places::ensure_committed(&places::root(), &files)?;
        Ok(recipes)
    }

    /// The runs to make, seed by seed, so that an early end leaves results for every method.
    fn trials(&self, recipes: &[Quick]) -> Result<Vec<Trial>> {
        let (mut trials, folder) = (Vec::new(), places::scratch("recipes")?);
        for &seed in &self.seeds {
            for recipe in recipes {
                for &side in &self.sides {
                    if self.is_to_do(recipe, side, seed)? {
                        let files = recipe.taught_by(self.runs.teacher.as_deref())?.save(&folder)?;
                        trials.push(Trial { recipe: recipe.clone(), files, side, seed });
                    }
                }
            }
        }
        Ok(trials)
    }

    /// The program that writes our initial weights, where runs of PyTorch start from them.
    fn starts(&self, trials: &[Trial]) -> Result<Option<PathBuf>> {
        if !self.paired || trials.iter().all(|trial| trial.side == Side::Ours) {
            return Ok(None);
        }
        Ok(Some(match &self.first_steps {
            Some(program) => program.clone(),
            None => build(&["-p", "burn-ssl", "--example", "first_steps"], "first_steps", &[])?,
        }))
    }

    fn is_to_do(&self, recipe: &Quick, side: Side, seed: u64) -> Result<bool> {
        let path = Record::path(&recipe.method, side, seed);
        let record = path.exists().then(|| Record::read(&path)).transpose()?;
        let hash = recipe.run_hash()?;
        let of_other_weights = |record: &Record| self.paired && side == Side::Torch && !record.shared_start;
        let has_result = record.is_some_and(|record| record.recipe == hash && !of_other_weights(&record));
        let name = path.display();
        ensure!(
            self.resume || !has_result,
            "{name} already exists, and each run is made only once: expected --resume to skip it"
        );
        Ok(!has_result)
    }

    fn measure(&self, trial: &Trial, bench: &Bench) -> Result<Record> {
        let Trial { recipe, files: [for_ours, for_theirs], side, seed } = trial;
        let images = recipe.images();
        let is_vit = recipe.resolved()?.encoder.is_vit();
        let finetuning = by_labels(&recipe.method).then(Finetuning::read).transpose()?;
        let job = |recipe| Job {
            recipe,
            seed: *seed,
            train: &self.runs.train,
            images,
            queries: &self.test,
            query_limit: places::TEST_IMAGES,
            finetuning: finetuning.as_ref(),
            is_vit,
        };
        let (finished, commit) = match side {
            Side::Ours => {
                let (program, commit) = bench.program.as_ref().context("there is no program of ours")?;
                (job(for_ours).ours(program)?, commit.clone())
            }
            Side::Torch => {
                let python = self.baseline.as_ref().context("there is no Python for PyTorch's side")?;
                let start = bench.first_steps.as_ref();
                let start = start.map(|program| job(for_ours).start(program)).transpose()?;
                let finished = job(for_theirs).torch(python, start.as_deref())?;
                if let Some(start) = &start {
                    std::fs::remove_file(start)
                        .with_context(|| format!("cannot remove {}", start.display()))?;
                }
                (finished, bench.commit.clone())
            }
        };
        Ok(Record {
            method: recipe.method.clone(),
            side: *side,
            seed: *seed,
            figures: Figures::of(&finished.report, bench.pixels[&images])?,
            recipe: recipe.run_hash()?,
            shared_start: *side == Side::Torch && bench.first_steps.is_some(),
            command: finished.command,
            commit,
            setup: bench.setup.clone(),
            report: finished.report,
        })
    }

    fn pixels_of(&self, trials: &[Trial]) -> Result<BTreeMap<usize, f64>> {
        let mut pixels = BTreeMap::new();
        for trial in trials {
            let images = trial.recipe.images();
            if let Entry::Vacant(place) = pixels.entry(images) {
                place.insert(self.pixels(&trial.recipe.resolved()?, images)?);
            }
        }
        Ok(pixels)
    }

    /// k-NN on the raw pixels in per cent, which our program does not report. All recipes share this normalisation and size.
    fn pixels(&self, recipe: &Recipe, images: usize) -> Result<f64> {
        let device = DeviceSpec::Flex.open()?;
        let features = |path: &Path, limit| -> Result<_> {
            let set = Arc::new(images::open(path, Some(limit))?);
            let config = LoaderConfig { batch_size: BATCH, workers: 1 };
            let loader = EvalLoader::new(set, recipe.data.eval_transform()?, config)?;
            Ok(raw_pixels(&loader, &Embedder::on(&device))?)
        };
        let bank = features(&self.runs.train, images)?;
        let queries = features(&self.test, places::TEST_IMAGES)?;
        Ok(100.0 * knn(&bank, &queries, &recipe.knn_config())?.top1)
    }

    /// Machine and versions.
    fn setup(&self) -> Value {
        let mut setup = machine::setup(self.baseline.as_deref(), None);
        // Every side has its own commit.
        if let Some(keys) = setup.as_object_mut() {
            keys.shift_remove("commit");
        }
        if let Some(teacher) = &self.runs.teacher {
            setup["teacher"] = teacher.display().to_string().into();
        }
        setup
    }
}

/// The commit of this checkout, whose script the results of PyTorch's side name.
fn clean_commit() -> Result<String> {
    let commit = machine::commit();
    let changed = commit.strip_suffix("-dirty");
    ensure!(
        changed.is_none(),
        "the sources differ from commit {}: commit them before testing",
        changed.unwrap_or_default()
    );
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use burn_ssl::registry::METHODS;

    use super::*;

    #[test]
    fn all_recipes_see_the_same_pixels() {
        let seen = |method: &str| {
            let recipe = Quick::of(method).and_then(|quick| quick.resolved()).expect("a recipe");
            (
                recipe.data.image_size,
                recipe.data.mean,
                recipe.data.std,
                recipe.eval.k,
                recipe.eval.temperature,
            )
        };
        for method in METHODS {
            assert_eq!(seen(method.name), seen(METHODS[0].name), "{}", method.name);
        }
    }
}
