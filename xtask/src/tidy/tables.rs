//! The tables of methods in the documentation equal the registry of the code.

use std::collections::BTreeSet;

use super::Violation;
use super::repository::TextFile;

const BEGIN: &str = "<!-- methods:begin -->";
const END: &str = "<!-- methods:end -->";

/// The differences between `methods` and the tables between `<!-- methods:begin -->` and `<!-- methods:end -->`.
///
/// A name is a back-quoted word in the first column; a row may hold several.
pub(super) fn check(file: &TextFile, methods: &[&str]) -> Vec<Violation> {
    if !file.path.ends_with(".md") || !file.text.lines().any(|line| line.trim() == BEGIN) {
        return Vec::new();
    }
    let begin = file.line_where(|line| line.trim() == BEGIN);
    let rows = file.numbered_lines().skip(begin).take_while(|(_, line)| line.trim() != END);
    let mut missing = methods.iter().copied().collect::<BTreeSet<_>>();
    let mut violations = Vec::new();
    for (number, name) in rows.flat_map(|(number, row)| names(row).map(move |name| (number, name))) {
        if !methods.contains(&name) {
            let sentence = format!("the table names `{name}`: the registry holds no such method");
            violations.push(Violation::new(&file.path, number, sentence));
        } else if !missing.remove(name) {
            let sentence = format!("the table names `{name}` twice: expected one row for each method");
            violations.push(Violation::new(&file.path, number, sentence));
        }
    }
    violations.extend(missing.iter().map(|name| {
        Violation::new(&file.path, begin, format!("the table lacks the method `{name}` of the registry"))
    }));
    violations
}

/// The back-quoted words in the first column of a table row; none in other lines.
fn names(row: &str) -> impl Iterator<Item = &str> {
    let column = row.trim().strip_prefix('|').and_then(|cells| cells.split('|').next());
    column.unwrap_or("").split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(rows: &str) -> Vec<String> {
        let table = format!("{BEGIN}\n| name | loss |\n|---|---|\n{rows}{END}\n");
        let text = format!("# Methods\n`not-a-method`\n{table}| `outside` |\n");
        let file = TextFile { path: "README.md".to_owned(), text };
        check(&file, &["simclr", "simclr-v2", "byol"]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_with_each_method_once_has_no_violation() {
        let rows = "| `simclr`, `simclr-v2` | NT-Xent |\n| [`byol`](crates/ssl-byol) | `2 - 2 cos` |\n";
        assert!(sentences(rows).is_empty(), "{:?}", sentences(rows));
    }

    #[test]
    fn a_missing_method_is_a_violation_at_the_table() {
        let found = sentences("| `simclr` | |\n| `byol` | |\n");
        assert_eq!(found, ["README.md:3: the table lacks the method `simclr-v2` of the registry"]);
    }

    #[test]
    fn a_name_that_the_registry_lacks_is_a_violation_at_its_row() {
        let found = sentences("| `simclr`, `simclr-v2` | |\n| `byol` | |\n| `mae` | |\n");
        assert_eq!(found, ["README.md:8: the table names `mae`: the registry holds no such method"]);
    }

    #[test]
    fn a_method_named_twice_is_a_violation() {
        let found = sentences("| `simclr`, `simclr-v2` | |\n| `byol` | |\n| `byol` | |\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("README.md:8: the table names `byol` twice"), "{found:?}");
    }

    #[test]
    fn a_file_without_a_marked_table_has_no_violation() {
        let file = TextFile { path: "README.md".to_owned(), text: "| `mae` |\n".to_owned() };
        assert!(check(&file, &["simclr"]).is_empty());
    }
}
