//! Measured figures in the documentation agree with archived files.
//!
//! `<!-- figures: docs/benchmarks/<folder>/<file> -->` above a paragraph, a list or a table names the archived file, or
//! several separated by commas. Every number below it, to the end of that block, must be in one of them: rounded to the
//! digits that are quoted, and all numbers of a row or a sentence must belong to one piece of work. Code, versions, dates,
//! shapes and names such as `ResNet-18` do not count as numbers. Where there is no such comment, a number with a
//! unit of measurement needs `<!-- not measured: reason -->`. A recipe names its file within its `# Measured:` paragraph.

mod archive;
mod block;
mod number;
mod unmarked;

use super::Violation;
use super::repository::{TextFile, find};
use archive::Archive;
use block::{Block, FIGURES, Mark, NOT_MEASURED, Statement, blocks};

/// The folder of the archives, each a folder.
const ARCHIVES: &str = "docs/benchmarks/";
/// Begins the paragraph of a recipe with its measurements.
const MEASURED: &str = "# Measured:";
/// Words that mark a sentence as claiming nothing.
const NOT_YET: &str = "not yet";

/// The figures that are not in their archived file, and those that name no file.
pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md") && !is_archive(&file.path));
    let recipes = files.iter().filter(|file| file.path.ends_with(".toml"));
    let violations = documents.flat_map(|file| check_document(file, files));
    violations.chain(recipes.flat_map(|file| check_recipe(file, files))).collect()
}

/// Whether a measurement wrote this file, unlike the README beside it.
fn is_archive(path: &str) -> bool {
    in_archive(path).is_some_and(|name| name != "README.md")
}

/// The name of a file in the folder of an archive.
fn in_archive(path: &str) -> Option<&str> {
    path.strip_prefix(ARCHIVES)?.split_once('/').map(|(_, name)| name)
}

fn check_document(document: &TextFile, files: &[TextFile]) -> Vec<Violation> {
    // Figures read off by hand are only in the README of the archive.
    let is_record = in_archive(&document.path).is_some();
    let blocks = blocks(document).into_iter().filter(|block| !(is_record && block.mark == Mark::None));
    blocks.flat_map(|block| check_block(&block, document, files)).collect()
}

fn check_block(block: &Block, document: &TextFile, files: &[TextFile]) -> Vec<Violation> {
    let violation = |line, sentence: String| vec![Violation::new(&document.path, line, sentence)];
    if block.mark != Mark::None && block.text.trim().is_empty() {
        return violation(block.line, "there is nothing below the mark: expected text or a table".to_owned());
    }
    match &block.mark {
        Mark::Figures(paths) => check_figures(&block.statements(), paths, document, files),
        Mark::NotMeasured("") => violation(block.line, format!("expected a reason in `{NOT_MEASURED} ... -->`")),
        Mark::NotMeasured(_) => Vec::new(),
        Mark::None => unmarked::measured(&block.text).map_or_else(Vec::new, |(offset, figure)| {
            let mark = format!("{FIGURES} {ARCHIVES}<folder>/<file> -->");
            let sentence = format!(
                "`{figure}` looks measured and names no file: expected `{mark}` or `{NOT_MEASURED} <reason> -->` above"
            );
            violation(block.line + offset, sentence)
        }),
    }
}

/// The statements whose numbers are in no part of the archived files.
fn check_figures(
    statements: &[Statement],
    paths: &[&str],
    document: &TextFile,
    files: &[TextFile],
) -> Vec<Violation> {
    let first = statements.first().map_or(1, |statement| statement.line);
    let violation = |line, sentence: String| Violation::new(&document.path, line, sentence);
    let sources = paths.iter().map(|path| find(files, path).filter(|_| quotable(path, document)).ok_or(path));
    let sources = match sources.collect::<Result<Vec<_>, _>>() {
        Ok(sources) if !sources.is_empty() => sources,
        Ok(_) => return vec![violation(first, format!("expected the path of a file below {ARCHIVES}"))],
        Err(path) => {
            return vec![violation(
                first,
                format!("found no archived file `{path}`: expected one below {ARCHIVES}"),
            )];
        }
    };
    if statements.iter().all(|statement| statement.numbers().is_empty()) {
        return vec![violation(first, "there is no number below the mark: expected figures".to_owned())];
    }
    let archives = sources.into_iter().map(Archive::read).collect::<Vec<_>>();
    let strangers = |statement: &Statement| {
        let missing = missing(statement, &archives);
        (!missing.is_empty()).then(|| {
            let sentence =
                "expected numbers that it has, rounded, and each row or sentence about one piece of work";
            violation(
                statement.line,
                format!("{} not in `{}`: {sentence}", missing.join(", "), paths.join(", ")),
            )
        })
    };
    statements.iter().filter_map(strangers).collect()
}

/// Whether a document may take figures from a file.
fn quotable(path: &str, document: &TextFile) -> bool {
    in_archive(path).is_some() && path != document.path
}

/// The numbers, as written, that are missing in the best part of any archive.
fn missing(statement: &Statement, archives: &[Archive]) -> Vec<String> {
    let quoted = statement.numbers();
    let missing = archives.iter().flat_map(|archive| archive.missing(&quoted));
    let missing = missing.min_by_key(Vec::len).unwrap_or(quoted);
    missing.iter().map(|number| format!("`{}`", &statement.text[number.start..number.end])).collect()
}

/// Checks the measurements that a recipe states; sentences with "not yet" claim nothing.
fn check_recipe(recipe: &TextFile, files: &[TextFile]) -> Vec<Violation> {
    let begin = recipe.line_where(|line| line.starts_with(MEASURED));
    let comment = recipe.text.lines().skip(begin - 1).map_while(|line| line.strip_prefix('#'));
    let text = comment.map(|line| line.to_owned() + "\n").collect::<String>();
    if !text.starts_with(&MEASURED[1..]) {
        return Vec::new();
    }
    let block = Block { mark: Mark::None, line: begin, text: block::without_code(&text) };
    let mut statements = block.statements();
    statements.retain(|statement| !statement.text.contains(NOT_YET) && !statement.numbers().is_empty());
    let paths = text.split_whitespace().filter(|word| word.starts_with(ARCHIVES));
    let paths =
        paths.map(|word| recorded(word.trim_end_matches(['.', ',', ';', ')']), files)).collect::<Vec<_>>();
    let paths = paths.iter().map(String::as_str).collect::<Vec<_>>();
    if statements.is_empty() { Vec::new() } else { check_figures(&statements, &paths, recipe, files) }
}

/// The file that a recipe names; for a folder, its README.
fn recorded(path: &str, files: &[TextFile]) -> String {
    if find(files, path).is_some() {
        path.to_owned()
    } else {
        format!("{}/README.md", path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &str = r#"{"setup": {"cores": 2}, "figures": [
        {"work": "width 16, batch 64", "unit": "images/s", "per_run": 64.0,
         "ours": [{"name": "flex", "figures": [339.746], "peak_memory": 634396672.0}],
         "theirs": [{"name": "eager", "figures": [278.39]}]},
        {"work": "width 64, batch 32", "unit": "images/s", "per_run": 32.0,
         "ours": [{"name": "flex", "figures": [31.107]}], "theirs": [{"name": "eager", "figures": [20.19]}]}
    ]}"#;
    const TABLE: &str = "| width | flex, images/s | PyTorch | ratio |\n|---|---|---|---|\n| 16 | 340 | 278 | 1.22 |\n| 64 | 31.1 | 20.2 | 1.54 |\n";
    const RECORD: &str =
        "| `moco`, `queue_len=1024` | 40.15 | k = 300, seed 7, 5,000 images, untrained 29.35 |\n";

    /// What is wrong with a file beside an archive.
    fn sentences(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let record = file("docs/benchmarks/day/README.md", RECORD);
        let archive = file("docs/benchmarks/day/step.json", STEP);
        let table = file("docs/benchmarks/day/step.md", "| step | 340 images/s |\n");
        let mut files = vec![file(path, text), archive, table];
        files.extend((path != record.path).then_some(record));
        check(&files).iter().map(ToString::to_string).collect()
    }

    fn quote(block: &str) -> String {
        format!("Text.\n\n{FIGURES} docs/benchmarks/day/step.json -->\n{block}")
    }

    /// Every text that differs from `text` in one digit of a number behind `from`.
    fn with_another_digit(text: &str, from: usize) -> Vec<String> {
        let places = text.char_indices().filter(|(place, c)| *place >= from && c.is_ascii_digit());
        let change = |(place, old): (usize, char)| {
            let others = ('0'..='9').filter(move |new| *new != old);
            others.map(move |new| format!("{}{new}{}", &text[..place], &text[place + 1..]))
        };
        places.flat_map(change).collect()
    }

    #[test]
    fn rounded_figures_of_the_archive_pass_in_tables_and_sentences() {
        let sentence = "At width 16 `flex` makes 340 images/s, 1.2 times as many as\nthe best (278); at width 64 1.54 times.\n";
        for block in [TABLE, sentence, "On 2 cores it takes 605 MiB.\n"] {
            assert!(
                sentences("README.md", &quote(block)).is_empty(),
                "{:?}",
                sentences("README.md", &quote(block))
            );
        }
    }

    #[test]
    fn another_digit_in_a_quoting_block_is_a_violation() {
        let text = quote(TABLE);
        let changed = with_another_digit(&text, text.len() - TABLE.len());
        assert!(changed.len() > 150, "{} changes", changed.len());
        for text in changed {
            assert_eq!(sentences("docs/performance.md", &text).len(), 1, "{text}");
        }
    }

    #[test]
    fn figures_of_two_works_in_one_row_or_sentence_are_a_violation() {
        for block in ["| 16 | 340 | 1.54 |\n", "At width 16 it is 1.54.\n"] {
            let found = sentences("README.md", &quote(block));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("README.md:4: `1.54` not in `docs/benchmarks/day/step.json`"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_measured_figure_without_a_mark_is_a_violation_and_one_that_is_not_measured_says_why() {
        let found = sentences("docs/a.md", "# A\n\nIt makes\n340 images/s.\n");
        assert!(found[0].starts_with("docs/a.md:4: `340 images/s` looks measured"), "{found:?}");
        let marked =
            |reason: &str| sentences("docs/a.md", &format!("{NOT_MEASURED}{reason} -->\nWith 32 MiB.\n"));
        assert!(marked(" computed from the shapes").is_empty());
        assert_eq!(marked("").len(), 1);
    }

    #[test]
    fn files_that_are_not_there_no_archive_or_the_document_itself_are_violations() {
        for path in
            ["docs/benchmarks/day/loss.json", "docs/benchmarks/README.md", "README.md", "docs/a.md", ""]
        {
            let found = sentences("docs/a.md", &format!("{FIGURES} {path} -->\n340\n"));
            assert_eq!(found.len(), 1, "{path}: {found:?}");
        }
        let text = format!("{FIGURES} docs/benchmarks/day/README.md -->\n340 images/s\n");
        assert_eq!(sentences("docs/benchmarks/day/README.md", &text).len(), 1);
    }

    #[test]
    fn a_mark_above_nothing_or_above_no_number_is_a_violation() {
        for block in ["", "\n", "```\n340 images/s\n```\n", "Nothing.\n"] {
            assert!(!sentences("README.md", &quote(block)).is_empty(), "{block}");
        }
    }

    #[test]
    fn the_readme_of_an_archive_may_record_figures_and_has_to_quote_those_that_are_archived() {
        let readme = "docs/benchmarks/day/README.md";
        assert!(sentences(readme, "| k-NN |\n|---|\n| 37.93 % |\n").is_empty());
        assert!(sentences(readme, &quote(TABLE)).is_empty());
        assert_eq!(sentences(readme, &quote("341 images/s\n")).len(), 1);
        assert_eq!(sentences("docs/benchmarks/README.md", "341 images/s\n").len(), 1);
    }

    #[test]
    fn a_recipe_names_the_record_of_what_was_measured_with_it() {
        let recipe = |text: &str| {
            sentences(
                "recipes/moco.toml",
                &format!("# MoCo.\n# Source: k-NN 85.3 %.\n{text}\n\nqueue = 4096\n"),
            )
        };
        let measured = "# Measured: k-NN (k = 300) 40.15, untrained 29.35, seed 7: 5,000 images,\n# a queue of 1024. See docs/benchmarks/day. All 800 epochs: not\n# yet";
        assert!(recipe(measured).is_empty(), "{:?}", recipe(measured));
        assert!(recipe("# Measured: not yet").is_empty());
        for text in with_another_digit(&measured.replace("800", "all"), 0) {
            assert_eq!(recipe(&text).len(), 1, "{text}");
        }
        let found = recipe("# Measured: k-NN 40.15");
        assert!(found[0].starts_with("recipes/moco.toml:3: expected the path of a file"), "{found:?}");
    }
}
