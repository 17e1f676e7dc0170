//! The steps of the page: tables of copies and blocks of code with a mark above them.
//!
//! ```text
//! <!-- copy -->                       a table: from, to, and what is replaced by what
//! <!-- new: PATH -->                  the block is a file
//! <!-- add: PATH, below: START -->    the block goes below the first line that begins with START
//! <!-- add: PATH, above: START -->    the block goes above it
//! ```

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The page.
pub(super) const PAGE: &str = "docs/adding-a-method.md";

const COPY: &str = "<!-- copy -->";
/// Begins the mark of a new file; the block below is its text.
pub(crate) const NEW: &str = "<!-- new: ";
/// Begins the mark of added lines, which are the block below.
pub(crate) const ADD: &str = "<!-- add: ";
const END: &str = " -->";
const BELOW: &str = ", below: ";
const ABOVE: &str = ", above: ";

/// One step of the page.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    /// Where the page says it.
    pub(super) line: usize,
    pub(super) change: Change,
}

#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// A copy of another file, with some words replaced.
    Copy { from: String, to: String, replaced: Vec<(String, String)> },
    /// A new file.
    New { path: String, text: String },
    /// Lines below or above the first one that begins with `anchor`.
    Add { path: String, is_below: bool, anchor: String, text: String },
}

/// All steps of a page, in order.
///
/// # Errors
/// If a mark has another form, or the text above it does not name the file.
pub(super) fn steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    // What a reader has seen since the last block.
    let mut prose = String::new();
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        let mark = |start: &str| text.strip_prefix(start)?.strip_suffix(END);
        let change = if text == COPY {
            let rows = lines.by_ref().take_while(|(row, _)| row.starts_with('|')).skip(2);
            for (row, line) in rows {
                let change = copied(row)
                    .with_context(|| format!("{PAGE}:{line}: expected from, to and replacements"))?;
                steps.push(Step { line, change });
            }
            continue;
        } else if let Some(path) = mark(NEW) {
            Change::New { path: path.to_owned(), text: block(&mut lines) }
        } else if let Some(mark) = mark(ADD) {
            added(mark, block(&mut lines))
                .with_context(|| format!("{PAGE}:{line}: expected `{ADD}<path>{BELOW}<line>{END}`"))?
        } else {
            prose += text;
            continue;
        };
        let path = change.path();
        ensure!(prose.contains(&format!("`{path}`")), "{PAGE}:{line}: expected `{path}` in the text above");
        prose.clear();
        steps.push(Step { line, change });
    }
    Ok(steps)
}

/// The content of a mark of added lines, without its beginning and end.
fn added(mark: &str, text: String) -> Option<Change> {
    let (is_below, (path, anchor)) = match mark.split_once(BELOW) {
        Some(places) => (true, places),
        None => (false, mark.split_once(ABOVE)?),
    };
    Some(Change::Add { path: path.to_owned(), is_below, anchor: anchor.to_owned(), text })
}

/// A row of a table of copies: each cell holds words in back quotes.
fn copied(row: &str) -> Option<Change> {
    let mut cells = row.trim_matches('|').split('|').map(|cell| cell.split('`').skip(1).step_by(2));
    let (from, to) = (cells.next()?.next()?.to_owned(), cells.next()?.next()?.to_owned());
    let words = cells.next()?.map(str::to_owned).collect::<Vec<_>>();
    let replaced = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    Some(Change::Copy { from, to, replaced })
}

/// The lines of the code block that begins at the next line.
fn block<'a>(lines: &mut impl Iterator<Item = (&'a str, usize)>) -> String {
    let inside = lines.skip(1).map(|(line, _)| line).take_while(|line| *line != "```");
    inside.fold(String::new(), |text, line| text + line + "\n")
}

impl Change {
    /// The file that is made or changed.
    fn path(&self) -> &str {
        match self {
            Self::Copy { to: path, .. } | Self::New { path, .. } | Self::Add { path, .. } => path,
        }
    }
}

impl Step {
    /// Carries out the step in the folder `root`.
    ///
    /// # Errors
    /// If a file is missing or already exists, or lacks a word to be replaced or the line to add others at.
    pub(super) fn apply(&self, root: &Path) -> Result<()> {
        let path = self.change.path();
        let text = self.text(root).with_context(|| format!("{PAGE}:{}", self.line))?;
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        fs::write(&file, text).with_context(|| format!("cannot write {path}"))
    }

    /// The contents of the file afterwards.
    fn text(&self, root: &Path) -> Result<String> {
        let read =
            |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
        let is_free = |path: &str| {
            ensure!(!root.join(path).exists(), "there is a {path} already");
            Ok(())
        };
        match &self.change {
            Change::Copy { from, to, replaced } => {
                is_free(to)?;
                replaced.iter().try_fold(read(from)?, |text, (old, new)| {
                    ensure!(text.contains(old), "{from} has no `{old}`");
                    Ok(text.replace(old, new))
                })
            }
            Change::New { path, text } => is_free(path).map(|()| text.clone()),
            Change::Add { path, is_below, anchor, text } => {
                let old = read(path)?;
                let mut lines = old.split_inclusive('\n').collect::<Vec<_>>();
                let place = lines.iter().position(|line| line.trim_start().starts_with(anchor));
                let place =
                    place.with_context(|| format!("{path} has no line that begins with `{anchor}`"))?;
                lines.insert(place + usize::from(*is_below), text);
                Ok(lines.concat())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Copy:

<!-- copy -->
| from | to | replaced |
|---|---|---|
| `a.txt` | `b/b.txt` | `one` by `two` |
| `a.txt` | `c.txt` | |

Into `a.txt`:

<!-- add: a.txt, below: one -->
```text
  half
```

Again into `a.txt`:

<!-- add: a.txt, above: three -->
```text
two and a half
```

And `d.txt`:

<!-- new: d.txt -->
```text
three
```
";

    #[test]
    fn the_steps_of_a_page_are_done_in_their_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a.txt"), "zero\n  one, two\nthree\n").expect("written");
        let steps = steps(TEXT).expect("five steps");
        assert_eq!(steps.iter().map(|step| step.line).collect::<Vec<_>>(), [6, 7, 11, 18, 25]);
        steps.iter().for_each(|step| step.apply(folder.path()).expect("done"));
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).expect("a file");
        assert_eq!(read("b/b.txt"), "zero\n  two, two\nthree\n");
        assert_eq!(read("c.txt"), "zero\n  one, two\nthree\n");
        assert_eq!(read("a.txt"), "zero\n  one, two\n  half\ntwo and a half\nthree\n");
        assert_eq!(read("d.txt"), "three\n");
    }

    #[test]
    fn a_step_that_cannot_be_done_says_where_and_why() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a.txt"), "zero\n").expect("written");
        fs::write(folder.path().join("d.txt"), "").expect("written");
        let errors = steps(TEXT).expect("five steps").into_iter();
        let errors =
            errors.filter_map(|step| step.apply(folder.path()).err()).map(|error| format!("{error:#}"));
        assert_eq!(
            errors.collect::<Vec<_>>(),
            [
                format!("{PAGE}:6: a.txt has no `one`"),
                format!("{PAGE}:11: a.txt has no line that begins with `one`"),
                format!("{PAGE}:18: a.txt has no line that begins with `three`"),
                format!("{PAGE}:25: there is a d.txt already"),
            ]
        );
    }

    #[test]
    fn a_step_that_a_reader_cannot_see_is_refused() {
        let hidden = TEXT.replace("And `d.txt`", "And another one");
        let error = steps(&hidden).expect_err("no name").to_string();
        assert_eq!(error, format!("{PAGE}:25: expected `d.txt` in the text above"));
    }
}
