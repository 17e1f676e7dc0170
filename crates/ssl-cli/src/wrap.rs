//! Lines that end before the edge of the terminal, at a word.

#[cfg(unix)]
use std::os::fd::AsFd as Stream;
#[cfg(windows)]
use std::os::windows::io::AsHandle as Stream;

use textwrap::{Options, WordSplitter, WrapAlgorithm};

/// Narrower terminals break lines themselves, since little is left of a line there.
const LEAST: usize = 40;
/// What a line goes on with.
const INDENT: &str = "  ";
/// How a command to copy begins.
const COMMAND: &str = "burn-ssl ";
/// How a line ends that has code below it, down to the end.
const CODE: &str = "in Python:";

/// A text for a stream: where that is a terminal, its lines are broken at words.
pub(crate) fn for_terminal(stream: impl Stream, text: &str) -> String {
    match terminal_size::terminal_size_of(stream) {
        Some((columns, _)) => wrapped(text, usize::from(columns.0).max(LEAST)),
        None => text.to_owned(),
    }
}

/// Lines that go on are indented. Commands and code stay as they are, so that they can be copied.
fn wrapped(text: &str, columns: usize) -> String {
    let options = Options::new(columns)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .subsequent_indent(INDENT);
    let line = |line: &str| {
        if line.trim_start().starts_with(COMMAND) {
            line.to_owned()
        } else {
            textwrap::wrap(line, &options).join("\n")
        }
    };
    let mut is_code = false;
    let lines = text.split('\n').map(|text| {
        let text = if is_code { text.to_owned() } else { line(text) };
        is_code |= text.ends_with(CODE);
        text
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_short_ones_stay_as_they_are() {
        let text = "recipe: simclr/cifar10-quick, for photographs\n  two    columns\n";
        let expected = "recipe:\n  simclr/cifar10-quick,\n  for photographs\n  two    columns\n";
        assert_eq!(wrapped(text, 24), expected);
    }

    #[test]
    fn code_is_not_broken() {
        let text = "3 tensors in a file\nin Python:\n\nmodel = f(1, 2, 3, 4, 5, 6)\n";
        let broken = text.replace("in a file", "in a\n  file");
        assert_eq!(wrapped(text, 14), broken);
    }

    #[test]
    fn a_command_and_a_word_wider_than_the_terminal_stay_in_one_piece() {
        let command = "  burn-ssl pretrain --method simclr --data photos --out run";
        assert_eq!(wrapped(command, 20), command);
        assert_eq!(wrapped("see /a/path/that/is/long", 10), "see\n  /a/path/that/is/long");
    }
}
