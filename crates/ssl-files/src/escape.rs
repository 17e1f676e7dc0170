use std::path::Path;

/// `text` with control characters escaped, so that a file name can neither break a line of the log nor steer a terminal.
///
/// ```
/// assert_eq!(ssl_files::escaped("a\nb\u{1b}[31m.png"), "a\\nb\\u{1b}[31m.png");
/// ```
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A path for a message, [`escaped`].
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// Control characters, the line ends of Unicode, and those that turn the direction of the text around them.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_letters_are_not() {
        assert_eq!(escaped("ä b\n\u{1b}[31m.png"), "ä b\\n\\u{1b}[31m.png");
        assert_eq!(escaped("\u{9b}31m\u{202e}gpj\u{2028}é日"), "\\u{9b}31m\\u{202e}gpj\\u{2028}é日");
    }
}
