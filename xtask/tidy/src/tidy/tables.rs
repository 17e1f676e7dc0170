//! The tables of methods in the documentation match the registry.

use std::collections::BTreeSet;

use super::Violation;
use super::registry::Methods;
use super::repository::TextFile;

const BEGIN: &str = "<!-- methods:begin -->";
const END: &str = "<!-- methods:end -->";

/// The documents where readers look for the methods.
const TABLES: [&str; 2] = ["README.md", "docs/methods.md"];

/// The differences between `methods` and the tables between `<!-- methods:begin -->` and `<!-- methods:end -->`, and
/// documents that lack such a table.
///
/// A name is a word in back quotes in the first column; a row may hold several.
pub(super) fn check(files: &[TextFile], methods: &Methods) -> Vec<Violation> {
    let has_table =
        |file: &&TextFile| file.path.ends_with(".md") && file.text.lines().any(|line| line.trim() == BEGIN);
    let tables = files.iter().filter(has_table).collect::<Vec<_>>();
    let without = TABLES.iter().filter(|path| !tables.iter().any(|table| table.path == **path));
    let without = without.map(|path| {
        Violation::new(path, 1, format!("there is no table of methods: expected one below `{BEGIN}`"))
    });
    let names = methods.all().iter().map(|method| method.name.as_str()).collect::<Vec<_>>();
    let in_tables = tables.iter().flat_map(|table| check_table(table, &names));
    without.chain(in_tables).collect()
}

fn check_table(file: &TextFile, methods: &[&str]) -> Vec<Violation> {
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
        check_table(&file, &["simclr", "simclr-v2", "byol"]).iter().map(ToString::to_string).collect()
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
    fn a_document_of_the_methods_needs_a_marked_table_and_no_other_does() {
        let file = |path: &str| TextFile { path: path.to_owned(), text: "| `mae` |\n".to_owned() };
        let methods = Methods::of(&[["moco", "moco-v2"]]);
        let found = check(&[file("README.md"), file("docs/a.md")], &methods);
        let paths = found.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>();
        assert_eq!(paths, TABLES);
    }
}
