//! The blocks of a Markdown document, with the marks above them.

use super::super::repository::TextFile;
use super::number::{Number, numbers};

/// Begins the comment that names the archived files of the block below it.
pub(super) const FIGURES: &str = concat!("<!-- ", "figures:");
/// Begins the comment that says why no number in the block below it was measured.
pub(super) const NOT_MEASURED: &str = concat!("<!-- ", "not measured:");

/// What a mark says about the numbers of its block.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark<'a> {
    /// Nothing.
    None,
    /// They are in these archived files.
    Figures(Vec<&'a str>),
    /// They are not measured, for this reason.
    NotMeasured(&'a str),
}

/// Consecutive non-empty lines, and the mark above them.
pub(super) struct Block<'a> {
    pub(super) mark: Mark<'a>,
    /// The number of the first line below the mark.
    pub(super) line: usize,
    /// Without code and the targets of links.
    pub(super) text: String,
}

/// A row of a table or a sentence.
pub(super) struct Statement {
    /// The number of its first line.
    pub(super) line: usize,
    pub(super) text: String,
}

/// The blocks of a document outside fenced code. A mark ends the block above it.
pub(super) fn blocks(document: &TextFile) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut open, mut fenced) = (false, false);
    for (number, line) in document.numbered_lines() {
        let trimmed = line.trim();
        let fence = trimmed.starts_with("```");
        fenced ^= fence;
        match Mark::of(trimmed) {
            _ if fenced || fence => open = false,
            // An empty line may stand between a mark and its block.
            _ if trimmed.is_empty() => open &= blocks.last().is_some_and(|block| block.text.is_empty()),
            Some(mark) => {
                blocks.push(Block { mark, line: number + 1, text: String::new() });
                open = true;
            }
            None => {
                if !open {
                    blocks.push(Block { mark: Mark::None, line: number, text: String::new() });
                }
                open = true;
                blocks.last_mut().into_iter().for_each(|block| block.push(number, line));
            }
        }
    }
    blocks.iter_mut().for_each(|block| block.text = without_code(&block.text));
    blocks
}

impl<'a> Mark<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let inner = |begin| Some(line.strip_prefix(begin)?.trim_end_matches("-->").trim());
        let files = |list: &'a str| list.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
        inner(FIGURES).map(files).map(Self::Figures).or_else(|| inner(NOT_MEASURED).map(Self::NotMeasured))
    }
}

impl Block<'_> {
    fn push(&mut self, number: usize, line: &str) {
        if self.text.is_empty() {
            self.line = number;
        }
        self.text += line;
        self.text += "\n";
    }

    /// The rows and sentences of this block; a semicolon ends a sentence too.
    pub(super) fn statements(&self) -> Vec<Statement> {
        let mut statements: Vec<Statement> = Vec::new();
        let mut complete = true;
        for (offset, line) in self.text.lines().enumerate() {
            let is_row = line.trim_start().starts_with('|');
            let text = without_bullet(line);
            complete |= is_row || text.is_some();
            let text = text.unwrap_or(line).replace(". ", ".\n").replace("; ", ";\n");
            for piece in if is_row { vec![line] } else { text.lines().collect() } {
                if complete {
                    statements.push(Statement { line: self.line + offset, text: String::new() });
                }
                statements
                    .last_mut()
                    .into_iter()
                    .for_each(|statement| statement.text += &format!("{} ", piece.trim()));
                complete = is_row || piece.trim_end().ends_with(['.', ';']);
            }
        }
        statements
    }
}

impl Statement {
    /// The quantities of this statement.
    pub(super) fn numbers(&self) -> Vec<Number> {
        numbers(&self.text).into_iter().filter(|number| number.stands_alone).collect()
    }
}

/// The text of a list item.
fn without_bullet(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = if number.len() < line.len() { number.strip_prefix(". ") } else { None };
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or(numbered)
}

/// A text without inline code and the targets of links, with the same number of lines.
pub(super) fn without_code(text: &str) -> String {
    let without_spans = without(text, "`", "`");
    without(&without_spans, "](", ")")
}

/// A text without the parts between two marks. A mark that is never closed does not count.
fn without(text: &str, begin: &str, end: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(begin) {
        let Some((inside, after)) = behind.split_once(end) else { break };
        out.extend([before, begin, end]);
        out.extend(inside.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> TextFile {
        TextFile { path: "README.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_block_reaches_from_its_mark_to_an_empty_line_a_mark_or_code() {
        let text = format!(
            "a\n{FIGURES} x.json, y.json -->\n\nb\nc\n\nd\n{NOT_MEASURED} why -->\n- e\n```\n1 s\n```\nf\n"
        );
        let document = document(&text);
        let found = blocks(&document)
            .into_iter()
            .map(|block| (block.line, block.mark, block.text))
            .collect::<Vec<_>>();
        let block = |line, mark, text: &str| (line, mark, text.to_owned());
        assert_eq!(
            found,
            [
                block(1, Mark::None, "a\n"),
                block(4, Mark::Figures(vec!["x.json", "y.json"]), "b\nc\n"),
                block(7, Mark::None, "d\n"),
                block(9, Mark::NotMeasured("why"), "- e\n"),
                block(13, Mark::None, "f\n"),
            ]
        );
    }

    #[test]
    fn rows_sentences_and_items_are_statements() {
        let document = document("| 1 | 2. 3 |\n| 4 |\nA 5\nand 6; 7.\nB.\n- 8\n2. 9 `10`\n[a](b11) 12\n");
        let blocks = blocks(&document);
        let found = blocks[0].statements().into_iter();
        let values =
            |statement: &Statement| statement.numbers().iter().map(|number| number.value).collect::<Vec<_>>();
        let found = found.map(|statement| (statement.line, values(&statement))).collect::<Vec<_>>();
        let statement = |line, values: &[f64]| (line, values.to_vec());
        assert_eq!(
            found,
            [
                statement(1, &[1.0, 2.0, 3.0]),
                statement(2, &[4.0]),
                statement(3, &[5.0, 6.0]),
                statement(4, &[7.0]),
                statement(5, &[]),
                statement(6, &[8.0]),
                statement(7, &[9.0, 12.0]),
            ]
        );
    }

    #[test]
    fn code_of_several_lines_keeps_the_numbers_of_the_lines() {
        assert_eq!(without_code("a `b\nc` d `e"), "a ``\n d `e");
    }
}
