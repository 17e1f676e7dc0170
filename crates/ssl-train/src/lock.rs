//! One writer per run directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, fs, process, thread};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::TrainError;

/// The file that is locked. It stays when the run ends, as evidence that a run wrote the directory.
pub(crate) const LOCK: &str = "run.lock";

/// Time that a process has between locking the file and writing its name into it (our choice).
const SIGNING: Duration = Duration::from_millis(100);

/// The process that writes a run directory, according to its lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The id of the process.
    pub(crate) pid: u32,
    /// The name of its machine.
    pub(crate) host: String,
    /// When it started, in seconds since 1970.
    pub(crate) since: u64,
}

impl Holder {
    fn here() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { pid: process::id(), host: host(), since: since.as_secs() }
    }

    /// Reads the lock file of a run directory; `None` if there is no such file.
    pub(crate) fn of(run: &Path) -> Option<Self> {
        Self::first_in(&ssl_files::read(&run.join(LOCK)).ok()?)
    }

    /// A shorter name may have been written over a longer one by a process that was killed before it cut off the rest.
    fn first_in(bytes: &[u8]) -> Option<Self> {
        serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let began = UNIX_EPOCH + Duration::from_secs(self.since);
        let seconds = SystemTime::now().duration_since(began).unwrap_or(Duration::ZERO).as_secs();
        let since = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        write!(f, "process {} on {}, which started {since} ago", self.pid, self.host)
    }
}

/// An advisory lock on a run directory. The operating system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: File,
}

impl RunLock {
    /// Locks a directory, which must exist. A lock file that is there is left as it is until [`sign`](Self::sign).
    ///
    /// # Errors
    /// [`TrainError::Running`] if another process has locked it.
    pub(crate) fn take(run: &Path) -> Result<Self, TrainError> {
        let path = run.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(TrainError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::Running { run: run.to_owned(), holder: holder(file) });
            }
            Err(TryLockError::Error(error)) => {
                warn!("{} cannot be locked ({error}): do not start a second run there", run.display());
            }
        }
        Ok(Self { path, file })
    }

    /// Writes the name of this process into the lock file, which makes the directory that of a run.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn sign(&mut self) -> Result<(), TrainError> {
        self.write_holder().map_err(TrainError::io(&self.path))
    }

    /// Whether a process has locked a directory. Nothing is created there.
    pub(crate) fn is_held(run: &Path) -> bool {
        let file = ssl_files::open_regular(&run.join(LOCK));
        file.is_ok_and(|(file, _)| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether the directory is still the one that was locked.
    pub(crate) fn is_there(&self) -> bool {
        same_file(&self.path, &self.file).unwrap_or(false)
    }

    fn write_holder(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&Holder::here())?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

/// The holder of a lock, in words.
fn holder(mut file: File) -> String {
    // A process that has just started signs soon after it takes the lock.
    thread::sleep(SIGNING);
    let mut bytes = Vec::new();
    let read = file.read_to_end(&mut bytes).ok().and_then(|_| Holder::first_in(&bytes));
    read.map_or_else(|| "another process".to_owned(), |holder| holder.to_string())
}

fn host() -> String {
    hostname::get().map_or_else(|_| "this machine".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(unix)]
fn same_file(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (there, held) = (fs::metadata(path)?, file.metadata()?);
    Ok((there.dev(), there.ino()) == (held.dev(), held.ino()))
}

/// Other systems do not remove open files.
#[cfg(not(unix))]
fn same_file(path: &Path, _file: &File) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut first = RunLock::take(dir.path()).expect("nobody else");
        first.sign().expect("writable");
        let error = RunLock::take(dir.path()).expect_err("it is locked").to_string();
        assert!(error.contains(&format!("process {} on {}", process::id(), host())), "{error}");
        assert!(error.contains(" s ago"), "{error}");
        assert!(RunLock::is_held(dir.path()));
        drop(first);
        assert!(!RunLock::is_held(dir.path()) && !RunLock::is_held(&dir.path().join("absent")));
        RunLock::take(dir.path()).expect("nobody else");
    }

    #[test]
    fn what_an_unfinished_signature_leaves_of_a_longer_one_is_overlooked() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let long = Holder { pid: 1, host: "a machine with a long name".repeat(9), since: 1 };
        fs::write(dir.path().join(LOCK), serde_json::to_vec(&long).expect("JSON")).expect("writable");
        let here = serde_json::to_vec(&Holder::here()).expect("JSON");
        let mut file = OpenOptions::new().write(true).open(dir.path().join(LOCK)).expect("writable");
        file.write_all(&here).expect("writable");
        assert_eq!(Holder::of(dir.path()).map(|holder| holder.pid), Some(process::id()));
        RunLock::take(dir.path()).and_then(|mut lock| lock.sign()).expect("nobody else");
        let len = fs::metadata(dir.path().join(LOCK)).expect("a file").len();
        assert!(len < 200, "the rest is cut off: {len} bytes");
    }

    #[test]
    fn a_directory_that_was_replaced_is_not_the_one_that_was_locked() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = dir.path().join("run");
        fs::create_dir(&run).expect("writable");
        let lock = RunLock::take(&run).expect("nobody else");
        assert!(lock.is_there());
        fs::remove_dir_all(&run).expect("removable");
        assert!(!lock.is_there());
        fs::create_dir(&run).expect("writable");
        let _other = RunLock::take(&run).expect("another directory");
        assert!(!lock.is_there());
    }
}
