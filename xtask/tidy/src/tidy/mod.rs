//! `cargo xtask tidy`: the repository's own rules, which no compiler checks.
//!
//! Every rule is a function from the contents of the repository to a list of [`Violation`]s, so that a test can pass
//! it a violating input. Rules read the tracked files and `cargo metadata --no-deps`; they need no network.

mod figures;
mod flags;
mod imports;
mod lines;
mod manifests;
mod methods;
mod quotes;
mod readmes;
mod registry;
mod repository;
mod sizes;
mod tables;
mod text;
mod unsafe_code;

use std::fmt;

use anyhow::{Result, ensure};

use registry::Methods;
pub(crate) use repository::Repository;

/// Runs every rule on the repository that contains the current directory.
///
/// # Errors
/// If the repository cannot be read, or if there is any violation; all of them are printed first.
pub(crate) fn run() -> Result<()> {
    let repository = Repository::open(&std::env::current_dir()?)?;
    let violations = violations(&repository);
    for violation in &violations {
        println!("{violation}");
    }
    println!("{}", sizes::summary(&repository.files));
    ensure!(violations.is_empty(), "tidy found {} violations in {}", violations.len(), repository.root);
    println!(
        "tidy: {} files and {} crates keep the rules",
        repository.files.len(),
        repository.packages.len()
    );
    Ok(())
}

/// All violations of all rules, ordered by path and line.
pub(crate) fn violations(repository: &Repository) -> Vec<Violation> {
    let Repository { packages, files, .. } = repository;
    let methods = match Methods::read(files) {
        Ok(methods) => methods,
        Err(violation) => return vec![violation],
    };
    let mut violations = imports::check(packages, files, &methods);
    violations.extend(lines::check(&methods, files));
    violations.extend(manifests::check(packages, files));
    violations.extend(quotes::check(files));
    violations.extend(figures::check(files));
    violations.extend(files.iter().flat_map(flags::check));
    violations.extend(methods::check(packages, files, &methods));
    violations.extend(readmes::check(packages, files, &methods));
    violations.extend(files.iter().flat_map(|file| text::check(file, &methods)));
    violations.extend(tables::check(files, &methods));
    violations.extend(unsafe_code::check(files));
    violations.sort();
    violations.dedup();
    violations
}

/// A rule broken at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Relative to the root of the repository.
    path: String,
    /// Counted from one.
    line: usize,
    /// What was found and what was expected.
    sentence: String,
}

impl Violation {
    fn new(path: &str, line: usize, sentence: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, sentence: sentence.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let here = std::env::current_dir().expect("tests run in the folder of their package");
        let repository = Repository::open(&here).expect("the repository is readable");
        assert!(repository.packages.len() > 10, "found {} crates", repository.packages.len());
        let list = violations(&repository).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(list.is_empty(), "\n{}\n", list.join("\n"));
    }

    #[test]
    fn a_violation_reads_as_a_place_an_editor_can_open() {
        let violation = Violation::new("crates/ssl-core/src/lib.rs", 7, "found a thing");
        assert_eq!(violation.to_string(), "crates/ssl-core/src/lib.rs:7: found a thing");
    }
}
