//! All runs below a folder.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use ssl_core::ConfigError;
use ssl_files::{escaped, shown};
use ssl_train::RunDir;
use walkdir::{DirEntry, WalkDir};

use crate::compare::Opened;
use crate::{ComparedRun, Error, columns};

/// Options of [`runs`].
#[derive(Clone, Debug, PartialEq)]
pub struct RunsOptions {
    /// The folder to search, with the folders in it.
    pub folder: PathBuf,
    /// The order of the runs. Default: by path.
    pub sort: RunsOrder,
}

impl RunsOptions {
    /// The runs below a folder, by path.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), sort: RunsOrder::default() }
    }
}

/// The order of runs. Runs without the value come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunsOrder {
    /// By path.
    #[default]
    Path,
    /// By method, then by model.
    Method,
    /// The longest first, by epochs.
    Epochs,
    /// The smallest loss first; losses of different methods cannot be compared.
    Loss,
    /// The highest k-NN accuracy first.
    Knn,
    /// The highest accuracy of a linear classifier first.
    Linear,
    /// Running ones first, then those that were stopped, then finished ones.
    State,
    /// The longest first, by seconds of training.
    Time,
}

/// The orders by name.
const ORDERS: [(&str, RunsOrder); 8] = [
    ("path", RunsOrder::Path),
    ("method", RunsOrder::Method),
    ("epochs", RunsOrder::Epochs),
    ("loss", RunsOrder::Loss),
    ("knn", RunsOrder::Knn),
    ("linear", RunsOrder::Linear),
    ("state", RunsOrder::State),
    ("time", RunsOrder::Time),
];

impl FromStr for RunsOrder {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let known = ORDERS.iter().find(|(known, _)| *known == name).map(|&(_, order)| order);
        let expected = "path, method, epochs, loss, knn, linear, state or time";
        ConfigError::check(known.is_some(), "sort", format!("'{name}'"), expected)?;
        Ok(known.unwrap_or_default())
    }
}

impl fmt::Display for RunsOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ORDERS.iter().find(|(_, order)| order == self).map_or("path", |(name, _)| name);
        f.write_str(name)
    }
}

/// The result of [`runs`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunsReport {
    /// The runs.
    pub runs: Vec<ListedRun>,
    /// Why directories that look like runs could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// A run of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedRun {
    /// What it has come to.
    #[serde(flatten)]
    pub run: ComparedRun,
    /// Whether it goes on.
    pub state: RunState,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// A process is writing it.
    Running,
    /// It can be resumed.
    Stopped,
    /// It reached its last step.
    Finished,
}

/// Lists the pretraining runs below a folder. Links are not followed, and runs inside of runs are not looked for.
///
/// # Errors
/// If the folder cannot be read.
pub fn runs(options: &RunsOptions) -> Result<RunsReport, Error> {
    let mut found = RunsReport { runs: Vec::new(), unread: Vec::new() };
    let mut folders = WalkDir::new(&options.folder).sort_by_file_name().into_iter();
    while let Some(entry) = folders.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // The folder itself has to be there; one in it may be somebody else's.
            Err(error) if error.depth() == 0 => {
                return Err(Error::Io { path: options.folder.clone(), source: error.into() });
            }
            Err(error) => {
                found.unread.push(error.to_string());
                continue;
            }
        };
        if is_run(&entry) {
            folders.skip_current_dir();
            match listed(entry.path()) {
                Ok(run) => found.runs.push(run),
                Err(error) => found.unread.push(error.to_string()),
            }
        }
    }
    found.runs.sort_by(|a, b| options.sort.compare(a, b));
    Ok(found)
}

fn is_run(entry: &DirEntry) -> bool {
    let has = |name: &str| entry.path().join(name).is_file();
    entry.file_type().is_dir() && has("recipe.toml") && (has("run.lock") || has("metrics.jsonl"))
}

fn listed(path: &Path) -> Result<ListedRun, Error> {
    let run = Opened::read(path)?.run;
    let state = match (RunDir::open(path)?.is_running(), run.finished) {
        (true, _) => RunState::Running,
        (false, true) => RunState::Finished,
        (false, false) => RunState::Stopped,
    };
    Ok(ListedRun { run, state })
}

impl RunsOrder {
    /// Equal ones stay in the order of their paths.
    fn compare(self, a: &ListedRun, b: &ListedRun) -> Ordering {
        let (a_run, b_run) = (&a.run, &b.run);
        match self {
            Self::Path => Ordering::Equal,
            Self::Method => (&a_run.method, &a_run.model).cmp(&(&b_run.method, &b_run.model)),
            Self::Epochs => b_run.epochs.cmp(&a_run.epochs),
            Self::Loss => smallest_first(a_run.train_loss, b_run.train_loss),
            Self::Knn => largest_first(a_run.knn_top1, b_run.knn_top1),
            Self::Linear => largest_first(a_run.linear_top1, b_run.linear_top1),
            Self::State => a.state.cmp(&b.state),
            Self::Time => largest_first(a_run.seconds, b_run.seconds),
        }
    }
}

fn smallest_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY))
}

fn largest_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    smallest_first(a.map(|value| -value), b.map(|value| -value))
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
        })
    }
}

impl fmt::Display for RunsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = [
            "run",
            "method",
            "model",
            "state",
            "epochs",
            "loss",
            "views found %",
            "k-NN %",
            "linear %",
            "time",
        ];
        let rows = std::iter::once(heads.map(str::to_owned).to_vec()).chain(self.runs.iter().map(row));
        match self.runs.is_empty() {
            true => write!(f, "no runs")?,
            false => write!(f, "{}", columns(&rows.collect::<Vec<_>>()))?,
        }
        self.unread.iter().try_for_each(|reason| write!(f, "\nnot read: {}", escaped(reason)))
    }
}

fn row(listed: &ListedRun) -> Vec<String> {
    let ListedRun { run, state } = listed;
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    vec![
        shown(&run.run),
        escaped(&run.method),
        escaped(&run.model),
        state.to_string(),
        run.epochs.map_or(format!("{} steps", run.steps), |epochs| epochs.to_string()),
        number(run.train_loss, 4),
        number(run.view_retrieval, 1),
        number(run.knn_top1, 2),
        number(run.linear_top1, 2),
        run.seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.0} s")),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::methods::testing;

    /// A run that was stopped.
    fn run(path: &Path, method: &str, knn: Option<f64>) {
        let mut recipe = testing::recipe("simclr/cifar10");
        recipe.method = method.to_owned();
        fs::create_dir_all(path).expect("writable");
        fs::write(path.join("recipe.toml"), recipe.to_toml().expect("TOML")).expect("writable");
        let row = knn.map_or(String::new(), |knn| format!("{{\"step\":4,\"epoch\":2,\"knn_top1\":{knn}}}\n"));
        fs::write(path.join("metrics.jsonl"), row).expect("writable");
    }

    fn names(folder: &Path, sort: RunsOrder) -> Vec<String> {
        let found = runs(&RunsOptions { folder: folder.into(), sort }).expect("a folder").runs;
        let name =
            |listed: &ListedRun| listed.run.run.file_name().expect("a name").to_string_lossy().into_owned();
        found.iter().map(name).collect()
    }

    #[test]
    fn runs_are_found_in_folders_and_sorted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(&folder.path().join("deep/in/a"), "simclr", Some(20.0));
        run(&folder.path().join("b"), "byol", None);
        run(&folder.path().join("c"), "moco", Some(60.0));
        run(&folder.path().join("c/checkpoints/inside"), "moco", Some(90.0));
        fs::create_dir(folder.path().join("photos")).expect("writable");
        assert_eq!(names(folder.path(), RunsOrder::Path), ["b", "c", "a"]);
        assert_eq!(names(folder.path(), RunsOrder::Knn), ["c", "a", "b"], "none comes last");
        assert_eq!(names(folder.path(), RunsOrder::Method), ["b", "c", "a"]);
        let text = runs(&RunsOptions::new(folder.path())).expect("a folder").to_string();
        assert!(
            text.lines().nth(2).is_some_and(|line| line.contains("stopped") && line.contains("60.00")),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_is_being_written_is_running() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(folder.path(), "simclr", None);
        let state = || runs(&RunsOptions::new(folder.path())).expect("a folder").runs[0].state;
        assert_eq!(state(), RunState::Stopped);
        let lock = RunDir::open(folder.path()).expect("a run").locked().expect("free");
        assert_eq!(state(), RunState::Running);
        drop(lock);
        assert_eq!(state(), RunState::Stopped);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_listed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(&folder.path().join("a"), "simclr", None);
        run(&folder.path().join("b"), "simclr", None);
        fs::write(folder.path().join("a/recipe.toml"), "seed = ").expect("writable");
        let report = runs(&RunsOptions::new(folder.path())).expect("a folder");
        assert_eq!((report.runs.len(), report.unread.len()), (1, 1));
        assert!(report.to_string().contains("\nnot read: "), "{report}");
        assert!(runs(&RunsOptions::new(folder.path().join("absent"))).is_err());
        assert_eq!(
            "size".parse::<RunsOrder>().expect_err("unknown").to_string(),
            "sort is 'size', expected path, method, epochs, loss, knn, linear, state or time"
        );
    }
}
