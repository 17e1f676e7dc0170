//! The list of unsafe code in `docs/reliability.md` names every file that has some, and no other.

use super::Violation;
use super::repository::{TextFile, find};

const BEGIN: &str = "<!-- unsafe:begin -->";
const END: &str = "<!-- unsafe:end -->";
/// The document with the list.
const PAGE: &str = "docs/reliability.md";
/// Endings of C and C++, all of which is unsafe.
const FOREIGN: [&str; 7] = [".c", ".cc", ".cpp", ".cu", ".h", ".hh", ".hpp"];

/// Files with unsafe code that the list lacks, and names in the list that stand for no such file.
///
/// A name is a path from the root in back quotes in the first column of the table; one that ends in `/` stands for all files of a
/// folder.
pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    let Some(page) = find(files, PAGE).filter(|page| page.text.lines().any(|line| line.trim() == BEGIN))
    else {
        let sentence = format!("there is no list of unsafe code: expected a table below `{BEGIN}`");
        return vec![Violation::new(PAGE, 1, sentence)];
    };
    let names: Vec<(usize, &str)> = names(page).collect();
    let with_unsafe: Vec<(&TextFile, usize)> =
        files.iter().filter_map(|file| Some((file, line_of_unsafe(file)?))).collect();
    let is_named = |file: &TextFile| names.iter().any(|(_, name)| stands_for(name, file));
    let missing = with_unsafe.iter().filter(|(file, _)| !is_named(file)).map(|(file, line)| {
        let sentence = format!("here is unsafe code that {PAGE} does not list: expected a row for this file");
        Violation::new(&file.path, *line, sentence)
    });
    let is_right = |name: &str| with_unsafe.iter().any(|(file, _)| stands_for(name, file));
    let wrong = names.iter().filter(|(_, name)| !is_right(name)).map(|(line, name)| {
        Violation::new(PAGE, *line, format!("the list names `{name}`, which has no unsafe code"))
    });
    missing.chain(wrong).collect()
}

/// The back-quoted words in the first column of the rows between the marks, with their lines.
fn names(page: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let begin = page.line_where(|line| line.trim() == BEGIN);
    let rows = page.numbered_lines().skip(begin).take_while(|(_, line)| line.trim() != END);
    rows.flat_map(|(number, row)| {
        let column = row.trim().strip_prefix('|').and_then(|cells| cells.split('|').next());
        column.unwrap_or("").split('`').skip(1).step_by(2).map(move |name| (number, name))
    })
}

fn stands_for(name: &str, file: &TextFile) -> bool {
    file.path == name || (name.ends_with('/') && file.path.starts_with(name))
}

/// The first line of a file that allows unsafe code, which is denied elsewhere; the first of all in C and C++.
fn line_of_unsafe(file: &TextFile) -> Option<usize> {
    if FOREIGN.iter().any(|ending| file.path.ends_with(ending)) {
        return Some(1);
    }
    let allows = |line: &str| {
        let line = line.trim_start();
        line.starts_with('#') && line.contains("unsafe_code") && !line.contains("deny(")
    };
    file.numbered_lines().find(|(_, line)| file.is_rust() && allows(line)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    /// The violations of a repository with these rows and the files `a.rs`, `b.rs` and `native/c.cpp` with unsafe code.
    fn found(rows: &str) -> Vec<String> {
        let page = format!("`a.rs`\n{BEGIN}\n| place | why |\n|---|---|\n{rows}{END}\n| `b.rs` |\n");
        let files = [
            file("crates/it/src/a.rs", "//! A\n#![allow(unsafe_code)] // why\n"),
            file("crates/it/src/b.rs", "fn b() {\n    #[expect(unsafe_code, reason = \"why\")]\n}\n"),
            file("crates/it/src/safe.rs", "const A: &str = \"#[allow(unsafe_code)]\";\n"),
            file("crates/it/native/c.cpp", "int c;\n"),
            file(PAGE, &page),
        ];
        check(&files).iter().map(ToString::to_string).collect()
    }

    const ALL: &str = "| `crates/it/src/a.rs`, `crates/it/src/b.rs` | |\n| `crates/it/native/` | |\n";

    #[test]
    fn a_list_of_all_files_with_unsafe_code_has_no_violation() {
        assert!(found(ALL).is_empty(), "{:?}", found(ALL));
    }

    #[test]
    fn a_file_that_is_not_listed_is_a_violation_at_its_code() {
        let without = |name: &str| found(&ALL.replace(name, ""));
        let sentence =
            "here is unsafe code that docs/reliability.md does not list: expected a row for this file";
        assert_eq!(without("`crates/it/src/a.rs`, "), [format!("crates/it/src/a.rs:2: {sentence}")]);
        assert_eq!(without(", `crates/it/src/b.rs`"), [format!("crates/it/src/b.rs:2: {sentence}")]);
        assert_eq!(without("`crates/it/native/`"), [format!("crates/it/native/c.cpp:1: {sentence}")]);
    }

    #[test]
    fn a_name_of_a_file_without_unsafe_code_is_a_violation_at_its_row() {
        for name in ["crates/it/src/safe.rs", "crates/it/src/", "crates/it/src/gone.rs"] {
            let list = found(&format!("{ALL}| `{name}` | |\n"));
            let expected = match name {
                "crates/it/src/" => Vec::new(),
                _ => vec![format!("{PAGE}:7: the list names `{name}`, which has no unsafe code")],
            };
            assert_eq!(list, expected, "{name}");
        }
    }

    #[test]
    fn a_page_without_the_list_is_a_violation() {
        let list = check(&[file(PAGE, "# Reliability\n")]);
        assert!(list.len() == 1 && list[0].to_string().contains("no list of unsafe code"), "{list:?}");
    }
}
