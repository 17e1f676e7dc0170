//! Files that commands write.

use std::path::Path;

use crate::Error;

/// Fails if something at `path` must not be overwritten.
pub(crate) fn check_free(path: &Path, overwrite: bool) -> Result<(), Error> {
    if path.exists() && !(overwrite && path.is_file()) { Err(Error::Exists(path.into())) } else { Ok(()) }
}

/// Fails if a picture cannot be written to `path`.
pub(crate) fn check_picture(path: &Path, overwrite: bool) -> Result<(), Error> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => check_free(path, overwrite),
        _ => Err(Error::NoPng(path.into())),
    }
}

/// Writes a file, creating its folder if necessary.
pub(crate) fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), Error> {
    check_free(path, overwrite)?;
    ssl_files::write(path, bytes).map_err(|source| Error::Io { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

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
