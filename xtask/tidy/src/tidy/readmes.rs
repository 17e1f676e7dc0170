//! The README of a method crate is also its crate documentation, and cites the paper.

use super::Violation;
use super::registry::Methods;
use super::repository::{Package, TextFile, find};

/// The line by which a crate uses its README as documentation.
const INCLUDE: &str = r#"#![doc = include_str!("../README.md")]"#;

/// The method crates that have no README, whose README cites no paper, or whose documentation is a different text.
pub(super) fn check(packages: &[Package], files: &[TextFile], methods: &Methods) -> Vec<Violation> {
    let methods = packages.iter().filter(|package| methods.has_crate(&package.name));
    methods.flat_map(|package| check_method(package, files)).collect()
}

fn check_method(package: &Package, files: &[TextFile]) -> Vec<Violation> {
    let readme = format!("{}/README.md", package.folder);
    let library = format!("{}/src/lib.rs", package.folder);
    let mut violations = Vec::new();
    match find(files, &readme) {
        None => {
            violations.push(Violation::new(&readme, 1, "there is no such file: expected the method's README"))
        }
        Some(file) if !file.text.contains("arxiv.org/abs/") => {
            let sentence = "the README cites no paper: expected a link to arxiv.org/abs/<number>";
            violations.push(Violation::new(&readme, 1, sentence));
        }
        Some(_) => {}
    }
    if !find(files, &library).is_some_and(|file| file.text.lines().any(|line| line == INCLUDE)) {
        let sentence =
            format!("the README is not the documentation of the crate: expected the line `{INCLUDE}`");
        violations.push(Violation::new(&library, 1, sentence));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITES: &str = "# SimCLR\n\nChen et al. 2020, <https://arxiv.org/abs/2002.05709>.\n";

    fn sentences(name: &str, readme: Option<&str>, library: &str) -> Vec<String> {
        let package = Package { name: name.to_owned(), folder: "crates/it".to_owned(), ..Package::default() };
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let mut files = vec![file("crates/it/src/lib.rs", library)];
        let methods = Methods::of(&[["simclr", "simclr"]]);
        files.extend(readme.map(|text| file("crates/it/README.md", text)));
        check(&[package], &files, &methods).into_iter().map(|violation| violation.sentence).collect()
    }

    #[test]
    fn a_method_whose_readme_cites_a_paper_and_is_its_documentation_has_no_violation() {
        assert!(sentences("ssl-simclr", Some(CITES), INCLUDE).is_empty());
    }

    #[test]
    fn a_method_whose_readme_is_missing_or_cites_no_paper_is_a_violation() {
        for readme in [None, Some("# SimCLR\n")] {
            assert_eq!(sentences("ssl-simclr", readme, INCLUDE).len(), 1, "{readme:?}");
        }
    }

    #[test]
    fn a_method_whose_documentation_is_another_text_is_a_violation() {
        assert_eq!(sentences("ssl-simclr", Some(CITES), "//! SimCLR\n").len(), 1);
    }

    #[test]
    fn a_crate_that_is_no_method_needs_no_paper() {
        assert!(sentences("ssl-core", None, "//! Core\n").is_empty());
    }
}
