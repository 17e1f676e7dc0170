//! The images of a pack.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::compress;

/// Writes the first images of some tars to `data.tar.xz`: path, number of images, name in the pack.
pub(super) fn add(sets: &[(&Path, usize, &str)], archives: &Path) -> Result<()> {
    let folder = archives.join("data");
    fs::create_dir_all(&folder)?;
    for (path, images, name) in sets {
        copy_first(path, *images, &folder.join(name))?;
    }
    compress(archives, &["data"])
}

/// Copies the first `count` files of a tar to another one.
fn copy_first(path: &Path, count: usize, target: &Path) -> Result<()> {
    let found = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {found}"))?;
    let mut source = tar::Archive::new(BufReader::new(file));
    let mut copy = tar::Builder::new(File::create(target)?);
    let mut copied = 0;
    for entry in source.entries()? {
        if copied == count {
            break;
        }
        let entry = entry.with_context(|| format!("{found} is not a whole tar file"))?;
        if entry.header().entry_type().is_file() {
            let (mut header, name) = (entry.header().clone(), entry.path()?.into_owned());
            copy.append_data(&mut header, name, entry)?;
            copied += 1;
        }
    }
    ensure!(copied > 0, "{found} holds no files, expected images");
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
    fn the_first_images_are_copied() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from.tar"), folder.path().join("to.tar"));
        tar(&from, 5);
        copy_first(&from, 2, &to).expect("copied");
        assert_eq!(names(&to), ["class/0.jpg", "class/1.jpg"]);
        copy_first(&from, 9, &to).expect("copied");
        assert_eq!(names(&to).len(), 5);
    }

    #[test]
    fn an_empty_tar_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from.tar"), folder.path().join("to.tar"));
        tar(&from, 0);
        let error = copy_first(&from, 2, &to).expect_err("nothing to copy").to_string();
        assert!(error.ends_with("from.tar holds no files, expected images"), "{error}");
    }
}
