//! Code in the documentation is quoted from compiled files, without changes.

use super::Violation;
use super::repository::{TextFile, find};
use crate::adding::{ADD, NEW};

/// Begins the comment that names the source of the code block below it: `<!-- quote: examples/... -->`.
const MARK: &str = concat!("<!-- ", "quote: ");

/// The code blocks that are not in the file they name, and Rust blocks in `docs/` and the main README that name no file.
pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|document| check_document(document, files)).collect()
}

fn check_document(document: &TextFile, files: &[TextFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut quoted = None;
    let mut lines = document.numbered_lines();
    while let Some((number, line)) = lines.next() {
        if let Some(rest) = line.strip_prefix(MARK) {
            quoted = Some(rest.trim_end_matches("-->").trim());
            continue;
        }
        if line.starts_with(ADD) || line.starts_with(NEW) {
            // Code of a step: `cargo xtask adding-a-method` compiles it.
            lines.by_ref().skip(1).find(|(_, line)| line.trim() == "```");
            continue;
        }
        if let Some(language) = line.trim().strip_prefix("```") {
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            let broken = match quoted {
                Some(source) => misquoted(&block, source, files),
                None => unnamed(document, language),
            };
            violations.extend(broken.map(|sentence| Violation::new(&document.path, number, sentence)));
        }
        quoted = None;
    }
    violations
}

/// The fault of a block that names its source, if it has one.
fn misquoted(block: &[&str], source: &str, files: &[TextFile]) -> Option<String> {
    let Some(file) = find(files, source) else {
        return Some(format!("`{source}` is quoted but does not exist"));
    };
    // Indentation may differ, since a quote may begin inside a block.
    let trimmed = |line: &str| line.trim().to_owned();
    let block: Vec<String> = block.iter().map(|line| trimmed(line)).collect();
    let lines: Vec<String> = file.text.lines().map(trimmed).collect();
    let found = !block.is_empty() && lines.windows(block.len()).any(|window| window == block);
    (!found).then(|| format!("this is not in `{source}`: expected lines of that file, one after the other"))
}

/// The fault of a block that names no source, if it has one.
fn unnamed(document: &TextFile, language: &str) -> Option<String> {
    let is_rust = language.split([',', ' ']).next() == Some("rust");
    // The other READMEs are the documentation of their crates, whose examples run as tests.
    let wrong = is_rust && (document.path.starts_with("docs/") || document.path == "README.md");
    wrong.then(|| format!("Rust that nothing compiles: expected a line `{MARK}<path> -->` above it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn two() -> u8 {\n    let one = 1;\n    one + one\n}\n";

    fn sentences(path: &str, document: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let files = [file(path, document), file("src/two.rs", SOURCE)];
        check(&files).into_iter().map(|violation| violation.to_string()).collect()
    }

    fn quote(source: &str, block: &str) -> String {
        format!("Text.\n\n{MARK}{source} -->\n```rust\n{block}```\n")
    }

    #[test]
    fn lines_of_the_file_in_their_order_are_a_quote_with_any_indentation() {
        for block in [SOURCE, "let one = 1;\none + one\n", "    one + one\n"] {
            assert!(sentences("docs/a.md", &quote("src/two.rs", block)).is_empty(), "{block}");
        }
    }

    #[test]
    fn a_changed_line_a_gap_and_nothing_at_all_are_violations() {
        for block in ["let one = 2;\n", "fn two() -> u8 {\none + one\n", ""] {
            let found = sentences("README.md", &quote("src/two.rs", block));
            assert_eq!(found.len(), 1, "{block}");
            assert!(found[0].starts_with("README.md:4: this is not in `src/two.rs`"), "{found:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_exist_is_a_violation() {
        let found = sentences("docs/a.md", &quote("src/three.rs", SOURCE));
        assert_eq!(found, ["docs/a.md:4: `src/three.rs` is quoted but does not exist"]);
    }

    #[test]
    fn rust_without_a_source_is_a_violation_where_nothing_compiles_it() {
        let text = "```rust\nlet one = 1;\n```\n";
        assert_eq!(sentences("docs/a.md", text).len(), 1);
        assert_eq!(sentences("README.md", text).len(), 1);
        assert!(sentences("crates/a/README.md", text).is_empty());
        assert!(sentences("docs/a.md", "```sh\nls\n```\n").is_empty());
        let late = format!("{MARK}src/two.rs -->\n\n{text}");
        assert_eq!(sentences("docs/a.md", &late).len(), 1, "the mark stands above the block");
    }
}
