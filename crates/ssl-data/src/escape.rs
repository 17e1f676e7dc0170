use std::path::Path;

/// `text` with control characters escaped, so that a file name can neither break a line of the log nor steer a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A path for a message.
pub(crate) fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(escaped("ä b\n\u{1b}[31m.png"), "ä b\\n\\u{1b}[31m.png");
    }
}
