//! Parts of tar archives.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Copies some of the files in a tar unchanged to another tar; folders and links do not count. Copies fewer if the archive
/// ends first.
///
/// # Errors
/// If `path` is not a tar, or holds none of these files.
pub(crate) fn copy_files(path: &Path, files: Range<usize>, target: &Path) -> Result<()> {
    let found = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {found}"))?;
    let mut source = tar::Archive::new(BufReader::new(file));
    let mut copy = tar::Builder::new(File::create(target)?);
    let mut seen = 0;
    for entry in source.entries()? {
        if seen == files.end {
            break;
        }
        let entry = entry.with_context(|| format!("{found} is not a whole tar file"))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if files.contains(&seen) {
            let (mut header, name) = (entry.header().clone(), entry.path()?.into_owned());
            copy.append_data(&mut header, name, entry)?;
        }
        seen += 1;
    }
    ensure!(
        seen > files.start,
        "{found} holds {seen} files, expected images beyond the first {}",
        files.start
    );
    Ok(copy.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(path: &Path, files: usize) {
        let mut builder = tar::Builder::new(File::create(path).expect("a file"));
        for index in 0..files {
            let bytes = [index as u8; 3];
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("class/{index}.jpg"), &bytes[..]).expect("written");
        }
        builder.finish().expect("finished");
    }

    fn names(path: &Path) -> Vec<String> {
        let mut archive = tar::Archive::new(File::open(path).expect("a file"));
        let entries = archive.entries().expect("a tar");
        entries.map(|entry| entry.expect("an entry").path().expect("a name").display().to_string()).collect()
    }

    #[test]
    fn the_files_of_the_range_are_copied() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from.tar"), folder.path().join("to.tar"));
        tar(&from, 5);
        copy_files(&from, 0..2, &to).expect("copied");
        assert_eq!(names(&to), ["class/0.jpg", "class/1.jpg"]);
        copy_files(&from, 2..4, &to).expect("copied");
        assert_eq!(names(&to), ["class/2.jpg", "class/3.jpg"]);
        copy_files(&from, 0..9, &to).expect("copied");
        assert_eq!(names(&to).len(), 5);
    }

    #[test]
    fn a_tar_without_these_files_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from.tar"), folder.path().join("to.tar"));
        tar(&from, 3);
        let error = copy_files(&from, 3..5, &to).expect_err("nothing to copy").to_string();
        assert!(error.ends_with("from.tar holds 3 files, expected images beyond the first 3"), "{error}");
    }
}
