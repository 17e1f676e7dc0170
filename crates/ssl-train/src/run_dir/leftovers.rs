//! What earlier runs left in a directory.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::TrainError;
use crate::checkpoint;
use crate::lock::{Holder, LOCK};
use crate::run_dir::Existing;

/// The files of a run, without those of its checkpoints.
const FILES: [&str; 6] = [
    "recipe.toml",
    "classifier.toml",
    "metrics.jsonl",
    "encoder.safetensors",
    "classifier.safetensors",
    REPORT,
];

/// The page about a run.
pub(super) const REPORT: &str = "report.html";

const CHECKPOINTS: &str = "checkpoints";

/// The sheet of views of a pretraining run, which the next run replaces.
const SHEET: &str = "views.png";

/// The name of the encoder that a run had at its end, before it was made longer.
pub(super) fn earlier_encoder(step: u64) -> String {
    format!("encoder.step-{step}.safetensors")
}

fn is_earlier_encoder(name: &str) -> bool {
    let step = name.strip_prefix("encoder.step-").and_then(|rest| rest.strip_suffix(".safetensors"));
    step.is_some_and(|step| step.parse::<u64>().is_ok())
}

/// Whether a new run may be written to `path`; `of_a_run` says whether the directory [has a record](has_record).
///
/// # Errors
/// [`TrainError::Exists`] or [`TrainError::NotARun`]
pub(super) fn check(path: &Path, existing: Existing, of_a_run: bool) -> Result<(), TrainError> {
    if is_free(path).map_err(TrainError::io(path))? {
        return Ok(());
    }
    if existing == Existing::Refuse || !path.is_dir() {
        return Err(TrainError::Exists(path.to_owned()));
    }
    if !of_a_run && is_taken(path).map_err(TrainError::io(path))? {
        return Err(TrainError::NotARun(path.to_owned()));
    }
    Ok(())
}

/// Whether the directory has anything that a new run would remove or replace.
fn is_taken(path: &Path) -> io::Result<bool> {
    if FILES.iter().chain([&CHECKPOINTS, &SHEET]).any(|name| path.join(name).exists()) {
        return Ok(true);
    }
    for entry in fs::read_dir(path)? {
        if entry?.file_name().to_str().is_some_and(is_earlier_encoder) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what a run wrote: its files, and the folders that this leaves empty.
pub(super) fn remove(path: &Path) -> Result<(), TrainError> {
    for name in FILES {
        remove_file(&path.join(name))?;
        remove_file(&path.join(format!("{name}.tmp")))?;
    }
    for entry in fs::read_dir(path).map_err(TrainError::io(path))? {
        let entry = entry.map_err(TrainError::io(path))?;
        if entry.file_name().to_str().is_some_and(is_earlier_encoder) {
            remove_file(&entry.path())?;
        }
    }
    crate::events::remove(path)?;
    let checkpoints = path.join(CHECKPOINTS);
    if !checkpoints.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&checkpoints).map_err(TrainError::io(&checkpoints))? {
        let entry = entry.map_err(TrainError::io(&checkpoints))?;
        if entry.file_name().to_str().is_some_and(checkpoint::is_checkpoint_name) {
            remove_checkpoint(&entry.path())?;
        }
    }
    remove_empty(checkpoints)
}

fn remove_checkpoint(folder: &Path) -> Result<(), TrainError> {
    for name in checkpoint::file_names() {
        remove_file(&folder.join(&name))?;
        remove_file(&folder.join(format!("{name}.tmp")))?;
    }
    remove_empty(folder.to_owned())
}

/// Whether the directory holds nothing but the leftovers of a process that was killed before it wrote its recipe.
fn is_free(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let is_unfinished = |name: &str| FILES.iter().any(|file| name.strip_suffix(".tmp") == Some(*file));
        if !name.to_str().is_some_and(|name| name == LOCK || is_unfinished(name)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the directory shows that a run wrote it. Earlier versions wrote no lock file, but always metrics, and a copy of a run may
/// lack both.
pub(super) fn has_record(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_file();
    let is_named = has("recipe.toml") || has("classifier.toml");
    Holder::of(path).is_some()
        || (is_named && (has("metrics.jsonl") || has_checkpoint(&path.join(CHECKPOINTS))))
}

fn has_checkpoint(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let is_named = entry.file_name().to_str().is_some_and(checkpoint::is_checkpoint_name);
        is_named && entry.path().join("meta.json").is_file()
    })
}

pub(crate) fn remove_file(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TrainError::io(path)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn remove_empty(path: PathBuf) -> Result<(), TrainError> {
    match fs::remove_dir(&path) {
        Err(error)
            if ![io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty].contains(&error.kind()) =>
        {
            Err(TrainError::io(path)(error))
        }
        _ => Ok(()),
    }
}
