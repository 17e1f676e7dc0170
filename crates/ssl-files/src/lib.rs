#![doc = include_str!("../README.md")]

mod escape;
mod flush;
mod free;
mod regular;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use escape::{escaped, shown};
use flush::{flush, flush_folder};
pub use free::free_space;
pub use regular::{open_regular, read, read_text};

/// Writes a file, replacing an existing one. Its folder is created if it is missing.
///
/// Until it is whole, the file is called `<name>.tmp`. The name is always the same, so the next process overwrites what a
/// killed one left behind; a write that fails removes it.
///
/// # Errors
/// The error of the operating system; the old file is then still there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = with_ending(path, ".tmp");
    make_folder(folder_of(path))?;
    let written = write_to_disk(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    written?;
    flush_folder(folder_of(path))
}

/// Writes a folder, replacing an existing one. `fill` is given an empty folder and puts the files into it.
///
/// Until it is whole, the folder is called `<name>.tmp`. The old one is then renamed to `<name>.old`, the new one takes its
/// place, and the old one is removed. So one of `<name>` and `<name>.old` is whole at any moment.
///
/// `fill` should write its files with [`write()`] or [`copy`], which make sure that they are on disk.
///
/// # Errors
/// Those of `fill`, and the error of the operating system; the old folder is then still there, under one of the two names.
pub fn write_folder<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let (new, old) = (with_ending(path, ".tmp"), with_ending(path, ".old"));
    remove_folder(&new)?;
    make_folder(&new)?;
    let filled = fill(&new).and_then(|()| Ok(flush_folder(&new)?));
    if filled.is_err() {
        // Half a folder takes up the space that a full disk lacks; the first error is the one to report.
        let _ = remove_folder(&new);
    }
    filled?;
    if path.exists() {
        remove_folder(&old)?;
        fs::rename(path, &old)?;
    }
    fs::rename(&new, path)?;
    flush_folder(folder_of(path))?;
    Ok(remove_folder(&old)?)
}

/// Copies a file to a path where there is none yet, and waits until it is on disk.
///
/// # Errors
/// The error of the operating system.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    // Windows flushes only what is open for writing.
    flush(&fs::OpenOptions::new().write(true).open(to)?)
}

/// Removes a folder and everything in it, if it exists.
///
/// # Errors
/// The error of the operating system.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    if path.exists() { fs::remove_dir_all(path) } else { Ok(()) }
}

fn write_to_disk(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    flush(&file)
}

/// Creates a folder and its parents, and waits until the names of new ones are on disk.
///
/// # Errors
/// The error of the operating system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let new: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    fs::create_dir_all(path)?;
    new.into_iter().try_for_each(|folder| flush_folder(folder_of(folder)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != OsStr::new("")).unwrap_or(Path::new("."))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().expect("Unicode")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_takes_the_place_of_the_old_one_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new/encoder.safetensors");
        write(&path, b"one").expect("the folder is made");
        fs::write(dir.path().join("new/encoder.safetensors.tmp"), "of a killed process").expect("writable");
        write(&path, b"two").expect("writable");
        assert_eq!(fs::read(&path).expect("readable"), b"two");
        assert_eq!(names(&dir.path().join("new")), ["encoder.safetensors"]);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).expect("writable");
        fs::write(taken.join("mine"), "mine").expect("writable");
        write(&taken, b"a file cannot replace a folder").expect_err("a folder is there");
        assert_eq!((names(dir.path()), names(&taken)), (vec!["taken".to_owned()], vec!["mine".to_owned()]));
    }

    #[test]
    fn a_folder_takes_the_place_of_the_old_one_with_all_its_files() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let last = dir.path().join("last");
        fs::create_dir(dir.path().join("last.tmp")).expect("writable");
        fs::write(dir.path().join("last.tmp/half"), "of a killed process").expect("writable");
        for (name, text) in [("a", "one"), ("b", "two")] {
            write_folder(&last, |folder| write(&folder.join(name), text.as_bytes())).expect("writable");
        }
        assert_eq!((names(dir.path()), names(&last)), (vec!["last".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_folder_that_cannot_be_filled_leaves_the_old_one_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let last = dir.path().join("last");
        write_folder(&last, |folder| write(&folder.join("a"), b"one")).expect("writable");
        let full = |folder: &Path| {
            write(&folder.join("a"), b"two")?;
            Err(io::Error::other("no space"))
        };
        assert_eq!(write_folder(&last, full).expect_err("it does not fit").to_string(), "no space");
        assert_eq!(fs::read(last.join("a")).expect("readable"), b"one");
        assert_eq!(names(dir.path()), ["last"], "half a folder fills a full disk");
    }

    #[test]
    fn folders_that_are_missing_are_made() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a/b/c.txt");
        write(&path, b"one").expect("writable");
        write_folder(&dir.path().join("d/e"), |folder| write(&folder.join("f"), b"")).expect("writable");
        assert!(path.is_file() && dir.path().join("d/e/f").is_file());
    }

    #[test]
    fn between_the_renames_the_old_folder_is_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (last, old) = (dir.path().join("last"), dir.path().join("last.old"));
        write_folder(&last, |folder| write(&folder.join("a"), b"one")).expect("writable");
        fs::rename(&last, &old).expect("what a killed process leaves");
        // A failure now must not take the only whole folder along.
        write_folder(&last, |_| Err(io::Error::other("no space"))).expect_err("it does not fit");
        assert_eq!(fs::read(old.join("a")).expect("readable"), b"one");
        write_folder(&last, |folder| write(&folder.join("a"), b"two")).expect("writable");
        assert_eq!(names(dir.path()), ["last"]);
    }

    #[test]
    fn a_copy_has_the_bytes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        write(&from, b"bytes").expect("writable");
        copy(&from, &to).expect("writable");
        assert_eq!(fs::read(to).expect("readable"), b"bytes");
    }

    #[test]
    fn a_path_without_a_folder_lies_here() {
        assert_eq!(folder_of(Path::new("sheet.png")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/sheet.png")), Path::new("a"));
    }
}
