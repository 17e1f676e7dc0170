//! Runs side by side.

mod history;
mod plot;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use ssl_core::ConfigError;
use ssl_encoders::Artifact;
use ssl_train::{RunDir, newest_intact_checkpoint};

use crate::baselines::{KNN_TOP1, LINEAR_TOP1};
use crate::recipe::{Draft, RecipeError, leaves};
use crate::self_check::{RANKME_TRAIN, VIEW_RETRIEVAL};
use crate::{Error, Recipe, files};
pub(crate) use history::History;
pub(crate) use text::{COLUMNS, row};

/// Keys that change nothing about the result of a run.
const WITHOUT_EFFECT: [&str; 2] = ["data.workers", "train.on_collapse"];

/// Options of [`compare`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompareOptions {
    /// The run directories.
    pub runs: Vec<PathBuf>,
    /// A picture of losses and evaluations to draw, a PNG. Default: none.
    pub plot: Option<PathBuf>,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
}

/// The result of [`compare`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompareReport {
    /// The runs, in the order given.
    pub runs: Vec<ComparedRun>,
    /// The keys of their recipes that differ.
    pub differences: Vec<Difference>,
    /// Groups of runs of the same number of steps that differ in the seed alone.
    pub seeds: Vec<OfSeeds>,
    /// The picture, if one was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plot: Option<PathBuf>,
}

/// What a run has come to. Accuracies are in per cent; values that were not measured are missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedRun {
    /// The directory.
    pub run: PathBuf,
    /// Name of the method.
    pub method: String,
    /// Name of the model.
    pub model: String,
    /// The seed.
    pub seed: u64,
    /// Whether the run reached its last step.
    pub finished: bool,
    /// Optimizer steps done.
    pub steps: u64,
    /// Whole epochs done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Seconds of training, without evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Mean loss of the last epoch; of a run that is not finished, since the last row but one of its metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// k-NN top-1 before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1_untrained: Option<f64>,
    /// k-NN top-1 of the last evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1: Option<f64>,
    /// Top-1 of a linear classifier, fitted in closed form, before the first step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1_untrained: Option<f64>,
    /// The same of the last evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1: Option<f64>,
    /// How often a view of a training image found another view of it, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_retrieval: Option<f64>,
    /// RankMe of the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme_train: Option<f64>,
    /// RankMe of the test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme: Option<f64>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl ComparedRun {
    /// RankMe of the training images, or of the test images for runs of earlier versions.
    fn rank(&self) -> Option<f64> {
        self.rankme_train.or(self.rankme)
    }
}

/// A key in which recipes differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, such as `optimizer.lr`.
    pub key: String,
    /// Its value in each run; none where it is absent.
    pub values: Vec<Option<String>>,
}

/// Runs that differ in the seed alone. A value that one of them lacks is missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfSeeds {
    /// Their directories, at least two.
    pub runs: Vec<PathBuf>,
    /// Of the losses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<Spread>,
    /// Of the k-NN top-1 accuracies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knn_top1: Option<Spread>,
    /// Of the top-1 accuracies of the linear classifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_top1: Option<Spread>,
    /// Of how often views were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_retrieval: Option<Spread>,
    /// Of RankMe of the training images, or of the test images for runs of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rankme: Option<Spread>,
    /// Of the times in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Spread>,
}

/// A mean and how far values are from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the sample, with one less than its size in the denominator.
    pub deviation: f64,
}

impl Spread {
    /// That of at least two values; none if one is missing.
    fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values = values.collect::<Option<Vec<f64>>>()?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (values.len() > 1).then(|| Self { mean, deviation: (squares / (count - 1.0)).sqrt() })
    }
}

/// Compares runs: recipes, losses, k-NN accuracies, ranks and times. Runs may be in progress, stopped or finished. Of a run whose
/// checkpoints or encoder are damaged, what can be read is compared, and the rest is in [`notes`](ComparedRun::notes).
///
/// # Errors
/// If a directory holds no run, or the picture cannot be written.
pub fn compare(options: &CompareOptions) -> Result<CompareReport, Error> {
    ConfigError::check(!options.runs.is_empty(), "runs", 0, "at least 1")?;
    options.plot.iter().try_for_each(|path| files::check_picture(path, options.overwrite))?;
    let opened = options.runs.iter().map(|path| Opened::read(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &options.plot {
        plot::write(&opened, path, options.overwrite)?;
    }
    Ok(CompareReport { plot: options.plot.clone(), ..report(&opened) })
}

/// The comparison of runs whose files have been read.
pub(crate) fn report(opened: &[Opened]) -> CompareReport {
    CompareReport {
        differences: differences(opened),
        seeds: of_seeds(opened),
        runs: opened.iter().map(|opened| opened.run.clone()).collect(),
        plot: None,
    }
}

/// A run whose files have been read.
pub(crate) struct Opened {
    pub(crate) run: ComparedRun,
    pub(crate) recipe: Recipe,
    /// The values of its recipe by key, without those that have no effect.
    keys: BTreeMap<String, String>,
    pub(crate) history: History,
}

impl Opened {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let dir = RunDir::open(path)?;
        let recipe = Draft::record(path)?;
        let mut notes = Vec::new();
        let checkpoint = or_note(newest_intact_checkpoint(&dir).map_err(Error::from), &mut notes);
        let history =
            History::read(&dir, checkpoint.as_ref().map(|checkpoint| checkpoint.steps_per_epoch()))?;
        let finished = dir.encoder().is_file();
        let artifact = finished.then(|| Artifact::read(&dir.encoder()).map_err(Error::from));
        let artifact = artifact.and_then(|read| or_note(read, &mut notes));
        let metric = |name: &str| artifact.as_ref()?.metrics.get(name).map(|&value| f64::from(value));
        let recorded = artifact.as_ref().and_then(|artifact| artifact.provenance.steps);
        let steps = recorded.unwrap_or_else(|| history.last_step());
        let run = ComparedRun {
            run: path.into(),
            method: recipe.method.clone(),
            model: recipe.encoder.name.clone(),
            seed: recipe.seed,
            finished,
            steps,
            epochs: history.steps_per_epoch.map(|per_epoch| steps / per_epoch),
            seconds: checkpoint.as_ref().map(|checkpoint| checkpoint.seconds()),
            train_loss: metric("train_loss").or_else(|| history.last("train_loss")),
            knn_top1_untrained: history.untrained(KNN_TOP1),
            knn_top1: metric(KNN_TOP1).or_else(|| history.last(KNN_TOP1)),
            linear_top1_untrained: history.untrained(LINEAR_TOP1),
            linear_top1: metric(LINEAR_TOP1).or_else(|| history.last(LINEAR_TOP1)),
            view_retrieval: history.last(VIEW_RETRIEVAL),
            rankme_train: history.last(RANKME_TRAIN),
            rankme: metric("rankme").or_else(|| history.last("rankme")),
            notes,
        };
        Ok(Self { run, keys: keys(&recipe)?, recipe, history })
    }
}

/// What was read, if anything; an error becomes a note.
fn or_note<T>(read: Result<Option<T>, Error>, notes: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|error| {
        notes.push(error.to_string());
        None
    })
}

/// The values of a recipe by key.
fn keys(recipe: &Recipe) -> Result<BTreeMap<String, String>, RecipeError> {
    let table = toml::Table::try_from(recipe).map_err(|error| RecipeError::NoText(error.to_string()))?;
    let keys = leaves(&table).into_iter().map(|(key, value)| (key.trim_start_matches('.').to_owned(), value));
    Ok(keys.filter(|(key, _)| !WITHOUT_EFFECT.contains(&key.as_str())).collect())
}

fn differences(runs: &[Opened]) -> Vec<Difference> {
    let all: BTreeSet<_> = runs.iter().flat_map(|run| run.keys.keys()).collect();
    let difference = |key: &String| {
        let values: Vec<_> = runs.iter().map(|run| run.keys.get(key).cloned()).collect();
        let differ = values.iter().any(|value| *value != values[0]);
        differ.then(|| Difference { key: key.clone(), values })
    };
    all.into_iter().filter_map(difference).collect()
}

/// The keys and steps that runs of different seeds share, and these runs.
type Group<'a> = ((BTreeMap<String, String>, u64), Vec<&'a ComparedRun>);

fn of_seeds(runs: &[Opened]) -> Vec<OfSeeds> {
    // Runs of different lengths have no mean: one of them may still be in progress.
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in runs {
        let mut keys = run.keys.clone();
        keys.remove("seed");
        let keys = (keys, run.run.steps);
        match groups.iter_mut().find(|(of_group, _)| *of_group == keys) {
            // The same seed twice is the same run twice.
            Some((_, group)) if group.iter().all(|other| other.seed != run.run.seed) => group.push(&run.run),
            Some(_) => {}
            None => groups.push((keys, vec![&run.run])),
        }
    }
    let several = groups.into_iter().filter(|(_, group)| group.len() > 1);
    several
        .map(|(_, group)| {
            let spread =
                |value: fn(&ComparedRun) -> Option<f64>| Spread::of(group.iter().map(|run| value(run)));
            OfSeeds {
                train_loss: spread(|run| run.train_loss),
                knn_top1: spread(|run| run.knn_top1),
                linear_top1: spread(|run| run.linear_top1),
                view_retrieval: spread(|run| run.view_retrieval),
                rankme: spread(ComparedRun::rank),
                seconds: spread(|run| run.seconds),
                runs: group.iter().map(|run| run.run.clone()).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::methods::testing;

    /// A run of 4 steps in 2 epochs that is not finished, with a change to its recipe.
    fn run(folder: &Path, name: &str, change: &str, knn: f64) -> PathBuf {
        let mut draft = testing::draft("simclr/cifar10");
        draft.assign(change).expect("a key");
        let recipe = draft.finish().expect("usable");
        let run = folder.join(name);
        fs::create_dir(&run).expect("writable");
        fs::write(run.join("recipe.toml"), recipe.to_toml().expect("TOML")).expect("writable");
        let row =
            |step: u64, epoch: u64, rest: String| format!("{{\"step\":{step},\"epoch\":{epoch},{rest}}}\n");
        let evaluation = |knn: f64| format!("\"knn_top1\":{knn},\"rankme\":3.5");
        let rows = [
            row(0, 0, evaluation(10.0)),
            row(2, 0, "\"train_loss\":4.0,\"lr\":0.1".into()),
            row(4, 1, format!("\"train_loss\":{},\"lr\":0.0", 3.0 - knn / 100.0)),
            row(4, 2, evaluation(knn)),
            "{\"step\":5,".into(),
        ];
        fs::write(run.join("metrics.jsonl"), rows.concat()).expect("writable");
        run
    }

    fn compared(runs: Vec<PathBuf>) -> CompareReport {
        compare(&CompareOptions { runs, ..CompareOptions::default() }).expect("runs")
    }

    #[test]
    fn runs_that_differ_in_the_seed_alone_have_a_mean_and_a_deviation() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |name, change, knn| run(folder.path(), name, change, knn);
        let runs = [
            run("a", "seed=1", 20.0),
            run("b", "seed=2", 24.0),
            run("c", "optimizer.lr=0.5", 90.0),
            run("d", "data.workers=7", 28.0),
        ];
        let report = compared([&runs[..], &[runs[0].clone()]].concat());
        let [seeds] = &report.seeds[..] else { panic!("{:?}", report.seeds) };
        assert_eq!(seeds.runs, [&runs[0], &runs[1], &runs[3]].map(Clone::clone), "threads change nothing");
        assert_eq!(seeds.knn_top1, Some(Spread { mean: 24.0, deviation: 4.0 }));
        assert_eq!(seeds.rankme, Some(Spread { mean: 3.5, deviation: 0.0 }));
        assert_eq!(seeds.seconds, None, "there is no checkpoint to say so");
        fs::write(runs[1].join("metrics.jsonl"), "{\"step\":2,\"knn_top1\":9.0}\n").expect("writable");
        assert_eq!(compared(runs[..2].to_vec()).seeds, [], "one of them has done half of its steps");
        let keys: Vec<_> = report.differences.iter().map(|difference| difference.key.as_str()).collect();
        assert_eq!(keys, ["optimizer.lr", "seed"]);
        let of_rate = &report.differences[0].values;
        assert_eq!((of_rate[2].as_deref(), of_rate[0] == of_rate[1]), (Some("0.5"), true));
    }

    #[test]
    fn a_run_has_the_values_of_its_last_rows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let report = compared(vec![run(folder.path(), "a", "seed=3", 50.0)]);
        let run = &report.runs[0];
        assert_eq!((run.method.as_str(), run.model.as_str(), run.seed), ("simclr", "resnet18", 3));
        assert_eq!((run.train_loss, run.steps, run.finished), (Some(2.5), 4, false));
        assert_eq!((run.knn_top1_untrained, run.knn_top1, run.rankme), (Some(10.0), Some(50.0), Some(3.5)));
        assert!(report.differences.is_empty() && report.seeds.is_empty(), "{report:?}");
        let text = report.to_string();
        assert!(text.contains("10.00 → 50.00") && text.contains("2.5000"), "{text}");
    }

    #[test]
    fn a_run_whose_files_are_damaged_is_compared_with_what_can_be_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runs = vec![run(folder.path(), "a", "seed=1", 20.0), run(folder.path(), "b", "seed=2", 60.0)];
        fs::create_dir_all(runs[0].join("checkpoints/last")).expect("writable");
        fs::write(runs[0].join("checkpoints/last/meta.json"), "{").expect("writable");
        fs::write(runs[0].join("encoder.safetensors"), b"\x02\0\0\0\0\0\0\0{?").expect("writable");
        let report = compared(runs);
        let [damaged, whole] = &report.runs[..] else { panic!("two runs: {report:?}") };
        assert_eq!((damaged.knn_top1, damaged.steps, damaged.seconds), (Some(20.0), 4, None));
        let [checkpoints, encoder] = &damaged.notes[..] else { panic!("{:?}", damaged.notes) };
        assert!(checkpoints.contains("last: meta.json is damaged"), "{checkpoints}");
        assert!(encoder.contains("is not a usable weight file"), "{encoder}");
        assert_eq!((whole.knn_top1, &whole.notes[..]), (Some(60.0), &[][..]));
        let text = report.to_string();
        assert!(text.contains("\nnot everything could be read: no checkpoint in "), "{text}");
    }

    #[test]
    fn curves_are_drawn_and_what_is_there_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runs = vec![run(folder.path(), "a", "seed=1", 20.0), run(folder.path(), "b", "seed=2", 60.0)];
        let plot = folder.path().join("curves.png");
        let draw = |runs: &[PathBuf], overwrite| {
            compare(&CompareOptions { runs: runs.to_vec(), plot: Some(plot.clone()), overwrite })
        };
        let coloured = |path: &Path| {
            let picture = image::open(path).expect("a picture").to_rgb8();
            let grey = |[r, g, b]: [u8; 3]| r.abs_diff(g) < 24 && g.abs_diff(b) < 24;
            picture.pixels().filter(|pixel| !grey(pixel.0)).count()
        };
        draw(&runs[..1], false).expect("writable");
        let of_one = coloured(&plot);
        assert!(of_one > 200, "{of_one} coloured pixels are no curve");
        assert!(matches!(draw(&runs, false), Err(Error::Exists(_))));
        draw(&runs, true).expect("may be overwritten");
        assert!(coloured(&plot) > of_one + 200, "the second run adds a curve");
        let other = CompareOptions { plot: Some("curves.gif".into()), runs, overwrite: false };
        assert!(matches!(compare(&other), Err(Error::Ending { .. })));
    }

    #[test]
    fn a_run_without_rows_is_compared_and_a_folder_without_a_run_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = run(folder.path(), "a", "seed=1", 20.0);
        fs::remove_file(path.join("metrics.jsonl")).expect("there");
        let plot = Some(folder.path().join("curves.png"));
        let report = compare(&CompareOptions { runs: vec![path], plot, overwrite: false }).expect("a run");
        assert_eq!((report.runs[0].steps, report.runs[0].train_loss), (0, None));
        let none = CompareOptions { runs: vec![folder.path().into()], ..CompareOptions::default() };
        assert!(compare(&none).is_err());
    }
}
