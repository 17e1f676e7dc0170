//! The newest checkpoint that can be used.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::module::Module;
use burn::tensor::TensorData;
use ssl_core::named;

use super::good::GOOD;
use super::sums::{self, unreadable};
use super::{IMAGES, META, Meta, PARTS};
use crate::{RunDir, TrainError};

/// A checkpoint whose files are all present and unchanged.
#[derive(Clone, Debug)]
pub struct IntactCheckpoint {
    folder: PathBuf,
    meta: Meta,
    damaged: Vec<DamagedCheckpoint>,
}

/// A checkpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedCheckpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for DamagedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.folder.display(), self.reason)
    }
}

/// The newest intact checkpoint of a run, among `last`, `last.old` and the copies `step-N` and `last-good`; `None` if the run
/// has not written a checkpoint yet.
///
/// Nothing is changed on the disk. Checkpoints of earlier versions have no checksums, and count as intact if their files
/// can be read and all their values are finite.
///
/// # Errors
/// [`TrainError::NoIntactCheckpoint`] if there are checkpoints and all are damaged; [`TrainError::Io`] if the folder cannot
/// be read.
pub fn newest_intact_checkpoint(run: &RunDir) -> Result<Option<IntactCheckpoint>, TrainError> {
    let found = newest_of(run.checkpoints());
    match found {
        // The run may be in progress, and have replaced a checkpoint while it was being read.
        Err(TrainError::NoIntactCheckpoint { folder, .. }) => newest_of(folder),
        found => found,
    }
}

fn newest_of(folder: PathBuf) -> Result<Option<IntactCheckpoint>, TrainError> {
    let found = Candidate::all(&folder).map_err(TrainError::io(&folder))?;
    let mut damaged = Vec::new();
    if !found.is_empty() && found.iter().all(|candidate| candidate.place.is_copy()) {
        damaged.push(DamagedCheckpoint { folder: folder.join("last"), reason: "it is missing".to_owned() });
    }
    let has_any = !found.is_empty();
    for Candidate { folder, .. } in found {
        match checked(&folder) {
            Ok(meta) => return Ok(Some(IntactCheckpoint { folder, meta, damaged })),
            Err(reason) => damaged.push(DamagedCheckpoint { folder, reason }),
        }
    }
    if has_any { Err(TrainError::NoIntactCheckpoint { folder, damaged }) } else { Ok(None) }
}

/// The folder of the newest intact checkpoint of a run from before `step`, if there is one.
pub(crate) fn newest_before(run: &RunDir, step: u64) -> Option<PathBuf> {
    let found = Candidate::all(&run.checkpoints()).ok()?;
    let is_early = |folder: &Path| checked(folder).is_ok_and(|meta| meta.step < step);
    found.into_iter().map(|candidate| candidate.folder).find(|folder| is_early(folder))
}

impl IntactCheckpoint {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Steps done when it was written.
    pub fn step(&self) -> u64 {
        self.meta.step
    }

    /// Steps per epoch of the run.
    pub fn steps_per_epoch(&self) -> u64 {
        self.meta.steps_per_epoch
    }

    /// Seconds of training until it was written, without evaluation.
    pub fn seconds(&self) -> f64 {
        self.meta.seconds
    }

    /// The document that determines the run, as it was when the checkpoint was written; `None` in checkpoints of earlier
    /// versions and of runs without one.
    pub fn recipe(&self) -> Option<&str> {
        self.meta.recipe.as_deref()
    }

    /// Newer checkpoints that cannot be used.
    pub fn damaged(&self) -> &[DamagedCheckpoint] {
        &self.damaged
    }

    /// The student with the values of the checkpoint; `student` must have the same architecture.
    ///
    /// # Errors
    /// If the architecture differs.
    pub fn student<S: Module>(&self, student: S) -> Result<S, TrainError> {
        self.load("student", student)
    }

    /// The method's state with the values of the checkpoint; `state` must have the same architecture.
    ///
    /// # Errors
    /// If the architecture differs.
    pub fn state<T: Module>(&self, state: T) -> Result<T, TrainError> {
        self.load("state", state)
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The tensors of one part, and the file that holds them.
    pub(crate) fn tensors(&self, part: &str) -> Result<(BTreeMap<String, TensorData>, PathBuf), TrainError> {
        let path = self.folder.join(format!("{part}.safetensors"));
        let bytes = ssl_files::read(&path).map_err(TrainError::io(&path))?;
        match named::decode(&bytes) {
            Ok((tensors, _)) => Ok((tensors, path)),
            Err(reason) => Err(TrainError::Checkpoint { path, reason }),
        }
    }

    /// The hashes of the images that the run had read; empty in checkpoints of earlier versions.
    pub(crate) fn image_hashes(&self) -> Result<Vec<u64>, TrainError> {
        let path = self.folder.join(IMAGES);
        let bytes = match ssl_files::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(TrainError::io(path))?,
        };
        let (hashes, _) = bytes.as_chunks::<8>();
        Ok(hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    fn load<M: Module>(&self, part: &str, module: M) -> Result<M, TrainError> {
        let (tensors, path) = self.tensors(part)?;
        named::load(module, tensors).map_err(|reason| TrainError::Checkpoint { path, reason })
    }
}

/// A folder that may be a checkpoint.
struct Candidate {
    folder: PathBuf,
    place: Place,
}

impl Candidate {
    /// All candidates, newest first. One that does not say its step may be the newest.
    fn all(checkpoints: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(checkpoints) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(place) = entry.file_name().to_str().and_then(place_of) else { continue };
            found.push(Self { folder: entry.path(), place });
        }
        found.sort_by_cached_key(|candidate| (Reverse(candidate.step()), candidate.place));
        Ok(found)
    }

    /// The step that it was written at, if it says.
    fn step(&self) -> u64 {
        match (meta_of(&self.folder), self.place) {
            (Ok(meta), _) => meta.step,
            (Err(_), Place::Kept(step)) => step,
            // There is always a newer one.
            (Err(_), Place::Good) => 0,
            (Err(_), _) => u64::MAX,
        }
    }
}

/// The kinds of checkpoint folders; of two with the same step, the first is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Last,
    LastOld,
    Kept(u64),
    Good,
}

impl Place {
    /// Whether what is there was `last` before.
    fn is_copy(self) -> bool {
        matches!(self, Self::Kept(_) | Self::Good)
    }
}

/// The kind of folder that a name stands for; `None` if no checkpoint has such a name.
fn place_of(name: &str) -> Option<Place> {
    match name {
        "last" => Some(Place::Last),
        "last.old" => Some(Place::LastOld),
        name => match name.strip_suffix(".old").unwrap_or(name) {
            GOOD => Some(Place::Good),
            copy => copy.strip_prefix("step-")?.parse().ok().map(Place::Kept),
        },
    }
}

/// The metadata of a checkpoint, if it is intact.
pub(super) fn checked(folder: &Path) -> Result<Meta, String> {
    let meta = meta_of(folder)?;
    if meta.checksums || folder.join(sums::SUMS).exists() {
        sums::check(folder)?;
        return Ok(meta);
    }
    for part in PARTS {
        check_unsummed(folder, &format!("{part}.safetensors"))?;
    }
    Ok(meta)
}

/// What a checkpoint says of itself; its other files may be damaged.
pub(super) fn meta_of(folder: &Path) -> Result<Meta, String> {
    let bytes = ssl_files::read(&folder.join(META)).map_err(|error| unreadable(META, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{META} is damaged: {error}"))
}

/// Checks a tensor file that has no checksum.
fn check_unsummed(folder: &Path, name: &str) -> Result<(), String> {
    let bytes = ssl_files::read(&folder.join(name)).map_err(|error| unreadable(name, &error))?;
    let (tensors, _) = named::decode(&bytes).map_err(|error| format!("{name} is damaged: {error}"))?;
    match named::first_not_finite(&tensors) {
        Some(tensor) => Err(format!("tensor '{tensor}' in {name} is not finite")),
        None => Ok(()),
    }
}
