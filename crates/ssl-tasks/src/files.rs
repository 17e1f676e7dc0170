//! Files that commands write.

use std::path::Path;

use crate::Error;

/// Fails if something at `path` must not be overwritten.
pub(crate) fn check_free(path: &Path, overwrite: bool) -> Result<(), Error> {
    if path.exists() && !(overwrite && path.is_file()) { Err(Error::Exists(path.into())) } else { Ok(()) }
}

/// Fails if a file is one that the run itself wrote: nothing could bring it back.
pub(crate) fn check_not_own(out: &Path, run: &Path) -> Result<(), Error> {
    let (Ok(file), Ok(run)) = (out.canonicalize(), run.canonicalize()) else { return Ok(()) };
    let own = ["encoder.safetensors", "classifier.safetensors"].map(|name| run.join(name));
    let is_own = own.contains(&file) || file.starts_with(run.join("checkpoints"));
    if is_own { Err(Error::OwnFile(out.into())) } else { Ok(()) }
}

/// Whether a path is free for a folder: nothing is there, or an empty folder.
pub(crate) fn is_new_folder(path: &Path) -> bool {
    !path.exists() || path.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

/// Fails unless the extension of a file is among those with a dot in `expected`, in either case.
pub(crate) fn check_ending(path: &Path, expected: &'static str) -> Result<(), Error> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    let mut known = expected.split([',', ' ']).filter_map(|word| word.strip_prefix('.'));
    if known.any(|known| known == ending) {
        return Ok(());
    }
    Err(Error::Ending { path: path.into(), expected })
}

/// Fails if a picture cannot be written to `path`.
pub(crate) fn check_picture(path: &Path, overwrite: bool) -> Result<(), Error> {
    check_ending(path, ".png, .jpg, .jpeg, .webp, .bmp or .tiff")?;
    check_free(path, overwrite)
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
    fn an_extension_is_known_in_either_case_or_refused_with_the_known_ones() {
        let check = |path: &str| {
            check_ending(path.as_ref(), ".jpg, .png or .webp").map_err(|error| error.to_string())
        };
        assert_eq!((check("a/v.png"), check("v.JPG")), (Ok(()), Ok(())));
        for path in ["v.pth", "v", "jpg"] {
            let sentence = format!("{path} has an unknown extension: expected .jpg, .png or .webp");
            assert_eq!(check(path), Err(sentence));
        }
    }

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

    #[test]
    fn no_file_of_the_run_itself_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (run, other) = (dir.path().join("run"), dir.path().join("exported.safetensors"));
        let kept = run.join("checkpoints/last/student.safetensors");
        fs::create_dir_all(run.join("checkpoints/last")).expect("writable");
        let own = run.join("encoder.safetensors");
        for file in [&other, &own, &kept] {
            fs::write(file, "tensors").expect("writable");
        }
        for file in [&own, &kept, &run.join("checkpoints/../encoder.safetensors")] {
            assert!(matches!(check_not_own(file, &run), Err(Error::OwnFile(_))), "{}", file.display());
        }
        assert!(check_not_own(&other, &run).is_ok());
        assert!(
            check_not_own(&run.join("new.safetensors"), &run).is_ok(),
            "a new file may lie in the folder"
        );
    }
}
