//! Paths of files, and the ranges of images.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tars::copy_files;

/// Members of the training tar that candidates are scored on: those that follow the ones that are trained on.
pub(super) const VALIDATION_IMAGES: usize = 2000;
/// Members of the test tar that results are scored on: the first ones.
pub(super) const TEST_IMAGES: usize = 2000;

/// The root of the repository.
pub(super) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder of candidates and choice, relative to the root.
pub(super) const CHOICE: &str = "xtask/accuracy";
/// The folder of the results, relative to the root.
pub(super) const RESULTS: &str = "docs/benchmarks/accuracy";

/// A folder for recipes, run directories and logs, which `cargo clean` removes.
pub(super) fn scratch(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/accuracy").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A tar of the validation images of recipes that train on the first `images` members.
pub(super) fn validation(train: &Path, images: usize) -> Result<PathBuf> {
    let path = scratch("images")?.join(format!("validation-{images}.tar"));
    copy_files(train, validation_members(images), &path)?;
    Ok(path)
}

/// The validation images among the members of the training tar, counted from 0.
fn validation_members(images: usize) -> Range<usize> {
    images..images + VALIDATION_IMAGES
}

/// Fails if one of these files, relative to `root`, differs from what is committed there.
pub(super) fn ensure_committed(root: &Path, files: &[String]) -> Result<()> {
    for file in files {
        let run = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(root).args(arguments).arg("--").arg(file).output();
            output.context("git cannot be started")
        };
        let known = run(&["ls-files", "--error-unmatch"])?.status.success();
        let status = run(&["status", "--porcelain"])?;
        ensure!(
            known && status.status.success() && status.stdout.is_empty(),
            "{file} has uncommitted changes: commit the choice before testing"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, arguments: &[&str]) {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let status = Command::new("git").arg("-C").arg(root).args(who).args(arguments).status();
        assert!(status.expect("git").success(), "{arguments:?}");
    }

    #[test]
    fn no_image_is_trained_on_and_validated_with() {
        for images in [5000, 20_000] {
            let members = validation_members(images);
            assert_eq!((members.start, members.len()), (images, VALIDATION_IMAGES));
        }
    }

    #[test]
    fn a_file_that_is_new_or_changed_is_not_committed() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let check = || ensure_committed(root, &["chosen.toml".to_owned()]).map_err(|error| error.to_string());
        assert!(check().is_err(), "no repository");
        git(root, &["init", "--quiet"]);
        assert!(check().is_err(), "no file");
        fs::write(root.join("chosen.toml"), "a = 1").expect("written");
        assert!(check().is_err(), "a new file");
        git(root, &["add", "chosen.toml"]);
        assert!(check().is_err(), "a file that is only added");
        git(root, &["commit", "--quiet", "-m", "Choice"]);
        assert_eq!(check(), Ok(()));
        fs::write(root.join("chosen.toml"), "a = 2").expect("written");
        let error = check().expect_err("a changed file");
        assert!(error.starts_with("chosen.toml has uncommitted changes"), "{error}");
    }
}
