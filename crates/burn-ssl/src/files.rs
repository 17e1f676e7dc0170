//! Files that commands write.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;

/// Fails if there is something at `path` that may not be overwritten.
pub(crate) fn check_free(path: &Path, overwrite: bool) -> Result<(), Error> {
    if path.exists() && !(overwrite && path.is_file()) { Err(Error::Exists(path.into())) } else { Ok(()) }
}

/// Writes a file beside its place and renames it.
pub(crate) fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), Error> {
    check_free(path, overwrite)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    make_folder_of(path)?;
    let write = || {
        let mut file = fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| Error::Io { path: path.into(), source })
}

/// Makes the folder that a file is to lie in.
pub(crate) fn make_folder_of(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(folder) => fs::create_dir_all(folder).map_err(|source| Error::Io { path: path.into(), source }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_overwritten_only_on_request_and_a_folder_never() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new/sheet.png");
        write(&path, b"one", false).expect("nothing is there");
        assert!(matches!(write(&path, b"two", false), Err(Error::Exists(_))));
        assert_eq!(fs::read(&path).expect("readable"), b"one");
        write(&path, b"two", true).expect("may be overwritten");
        assert_eq!(fs::read(&path).expect("readable"), b"two");
        assert!(matches!(write(dir.path(), b"", true), Err(Error::Exists(_))));
    }
}
