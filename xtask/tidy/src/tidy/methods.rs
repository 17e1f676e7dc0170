//! A method crate can be deleted: only its own lines name it.

use super::Violation;
use super::registry::Methods;
use super::repository::{Package, TextFile};

/// The places with a line or a file per method: the workspace, the facade, and the runner of the conformance suite.
const LINES: [&str; 6] = [
    "Cargo.toml",
    "crates/burn-ssl/Cargo.toml",
    "crates/burn-ssl/src/lib.rs",
    "crates/burn-ssl/src/registry.rs",
    "xtask/Cargo.toml",
    "xtask/src/conformance/",
];

/// Sources and manifests that name a method crate outside these places.
///
/// An example that depends on a single method belongs to that method and is deleted with it; tests of the facade use
/// methods through the registry, or behind the feature of the method.
pub(super) fn check(packages: &[Package], files: &[TextFile], methods: &Methods) -> Vec<Violation> {
    let methods: Vec<_> = packages.iter().filter(|package| methods.has_crate(&package.name)).collect();
    let sources = files.iter().filter(|file| file.is_rust() || file.path.ends_with("Cargo.toml"));
    let strangers = sources.filter(|file| !LINES.iter().any(|place| file.path.starts_with(place)));
    let of_file = |file: &TextFile| -> Vec<Violation> {
        let others = methods.iter().filter(|method| !belongs_to(file, method, packages));
        others.flat_map(|method| named(file, method)).collect()
    };
    strangers.flat_map(of_file).collect()
}

/// Whether a file is part of the method's crate, or of an example of this method.
fn belongs_to(file: &TextFile, method: &Package, packages: &[Package]) -> bool {
    let is_part = |package: &Package| file.path.starts_with(&format!("{}/", package.folder));
    let is_about = |package: &Package| {
        package.name.starts_with("example-")
            && package.dependencies.iter().any(|dependency| dependency.name == method.name)
    };
    is_part(method) || packages.iter().any(|package| is_about(package) && is_part(package))
}

fn named(file: &TextFile, method: &Package) -> Vec<Violation> {
    // Text that mentions a crate breaks nothing; a Rust path or a manifest entry does.
    let word = if file.is_rust() { method.name.replace('-', "_") } else { method.name.clone() };
    let lines = file.numbered_lines().filter(|(_, line)| has_word(line, &word));
    let violation = |(number, _)| {
        let sentence = format!(
            "the line names `{}`: expected such lines in {} alone, so that a method can be deleted",
            method.name,
            LINES.join(", ")
        );
        Violation::new(&file.path, number, sentence)
    };
    lines.map(violation).collect()
}

/// Whether a line holds the word, but not as part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_' || character == '-';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_name) && !line[start + word.len()..].starts_with(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::repository::Dependency;

    fn found(path: &str, text: &str) -> Vec<String> {
        let package = |name: &str, folder: &str| Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            ..Package::default()
        };
        let mut example = package("example-one-method", "examples/one-method");
        example.dependencies = vec![Dependency { name: "ssl-one".to_owned(), dev: false }];
        let packages =
            [package("ssl-one", "crates/ssl-one"), package("ssl-core", "crates/ssl-core"), example];
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        check(&packages, &[file], &Methods::of(&[["one", "one"]])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_of_the_facade_the_runner_and_the_method_itself_are_no_violation() {
        for path in [
            "crates/burn-ssl/src/registry.rs",
            "xtask/src/conformance/method/one.rs",
            "crates/ssl-one/src/lib.rs",
            "examples/one-method/src/main.rs",
        ] {
            assert!(found(path, "use ssl_one::One;\n").is_empty(), "{path}");
        }
    }

    #[test]
    fn a_name_elsewhere_is_a_violation_at_its_line() {
        let violations = found("crates/ssl-train/src/lib.rs", "\nuse ssl_one::One;\n");
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].starts_with("crates/ssl-train/src/lib.rs:2: the line names `ssl-one`"));
        assert_eq!(found("crates/ssl-cli/Cargo.toml", "ssl-one.workspace = true\n").len(), 1);
    }

    #[test]
    fn prose_and_longer_names_are_no_violation() {
        assert!(found("docs/methods.md", "`ssl-one`\n").is_empty());
        assert!(found("crates/ssl-train/src/lib.rs", "ssl_one_of_somebody\n").is_empty());
    }
}
