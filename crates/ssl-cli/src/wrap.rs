//! Lines that end before the edge of the terminal, at a word.

#[cfg(unix)]
use std::os::fd::AsFd as Stream;
#[cfg(windows)]
use std::os::windows::io::AsHandle as Stream;

use textwrap::{Options, WordSplitter, WrapAlgorithm};

/// Narrower terminals break lines themselves: code that is printed has lines of up to 80 columns.
const LEAST: usize = 80;
/// What a line goes on with.
const INDENT: &str = "  ";
/// How a command to copy begins.
const COMMAND: &str = "burn-ssl ";

/// A text for a stream: where that is a terminal, its lines are broken at words.
pub(crate) fn for_terminal(stream: impl Stream, text: &str) -> String {
    match terminal_size::terminal_size_of(stream) {
        Some((columns, _)) => wrapped(text, usize::from(columns.0).max(LEAST)),
        None => text.to_owned(),
    }
}

/// Lines that go on are indented. A command stays one line, so that it can be copied.
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
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
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
    fn a_command_and_a_word_wider_than_the_terminal_stay_in_one_piece() {
        let command = "  burn-ssl pretrain --method simclr --data photos --out run";
        assert_eq!(wrapped(command, 20), command);
        assert_eq!(wrapped("see /a/path/that/is/long", 10), "see\n  /a/path/that/is/long");
    }
}
