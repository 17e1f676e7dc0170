//! `cargo xtask adding-a-method`: follows `docs/adding-a-method.md` in a copy of the repository.
//!
//! The test takes its steps from the page: what the page leaves out is missing in the copy, where `tidy` or the compiler
//! notices.

mod page;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo;
use crate::tidy::{Repository, violations};
pub(crate) use page::{ADD, NEW};
use page::{Change, PAGE, Step};

/// Adds the page's method to a copy, and runs `tidy` and `cargo check` there. The first run builds Burn.
///
/// # Errors
/// If a step cannot be done, or the copy breaks a rule or does not compile.
pub(crate) fn run() -> Result<()> {
    let repository = Repository::open(&std::env::current_dir()?)?;
    let root = Path::new(&repository.root);
    let steps = page::steps(&fs::read_to_string(root.join(PAGE))?)?;
    let copy = tempfile::tempdir().context("cannot make a temporary folder")?;
    repository.copy_to(copy.path())?;
    for step in &steps {
        step.apply(copy.path())?;
    }
    let broken = violations(&Repository::open(copy.path())?);
    broken.iter().for_each(|violation| println!("{violation}"));
    ensure!(broken.is_empty(), "a method added by {PAGE} breaks {} rules", broken.len());
    println!("{} steps, and every rule of `tidy` holds", steps.len());
    check(copy.path(), &package(&steps)?, &root.join("target/adding-a-method"))
}

/// Compiles what the steps touch, in a separate target folder: cargo cannot tell a package from its copy.
fn check(copy: &Path, package: &str, target: &Path) -> Result<()> {
    let packages = ["-p", package, "-p", "burn-ssl", "-p", "xtask-checks"];
    let mut command = Command::new(cargo());
    command.args(["check", "--all-targets"]).args(packages).current_dir(copy).env("CARGO_TARGET_DIR", target);
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "a method added by {PAGE} does not compile");
    Ok(())
}

/// The crate that the steps add.
fn package(steps: &[Step]) -> Result<String> {
    let manifest = |step: &Step| {
        let Change::Copy { to, .. } = &step.change else { return None };
        Some(to.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?.to_owned())
    };
    steps.iter().find_map(manifest).with_context(|| format!("{PAGE} copies no manifest to crates/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The repository and the steps of its page.
    fn repository() -> (Repository, Vec<Step>) {
        let repository = Repository::open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the repository");
        let page = fs::read_to_string(Path::new(&repository.root).join(PAGE)).expect("the page");
        (repository, page::steps(&page).expect("steps"))
    }

    /// What `tidy` says of a repository with some steps done.
    fn found<'a>(repository: &Repository, steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
        let copy = tempfile::tempdir().expect("a temporary folder");
        repository.write_texts(copy.path()).expect("a writable folder");
        steps.for_each(|step| step.apply(copy.path()).expect("a step that can be done"));
        match Repository::open(copy.path()) {
            Ok(copy) => violations(&copy).iter().map(ToString::to_string).collect(),
            // Cargo refuses a workspace with half a crate.
            Err(error) => vec![format!("{error:#}")],
        }
    }

    #[test]
    fn a_method_that_is_added_by_the_page_is_tidy() {
        let (repository, steps) = repository();
        let list = found(&repository, steps.iter());
        assert!(list.is_empty(), "\n{}\n", list.join("\n"));
    }

    #[test]
    fn each_step_that_is_left_out_is_a_violation() {
        let (repository, steps) = repository();
        assert!(steps.len() > 20, "{} steps", steps.len());
        for left_out in 0..steps.len() {
            let others = steps.iter().enumerate().filter(|(index, _)| *index != left_out);
            let list = found(&repository, others.map(|(_, step)| step));
            assert!(!list.is_empty(), "nothing wants the step of {PAGE}:{}", steps[left_out].line);
        }
    }
}
