//! Finds what looks like a measured figure.

use super::number::{Number, numbers};

/// Units of measurement; so is whatever ends in `/s`. A number directly before one of these is still a quantity.
pub(super) const UNITS: [&str; 14] =
    ["%", "x", "×", "s", "ms", "seconds", "minutes", "hours", "times", "MB", "MiB", "GB", "GiB", "percent"];
/// Words that are units only after a number.
const WORDS: [&str; 4] = ["x", "×", "s", "times"];
/// Lower-case words that make a number such as 37.93 an accuracy.
const ACCURACIES: [&str; 4] = ["k-nn", "top-1", "accuracy", "rankme"];

/// The first figure in a block that looks measured, with the offset of its line.
pub(super) fn measured(text: &str) -> Option<(usize, String)> {
    let quantities = || numbers(text).into_iter().filter(|number| number.stands_alone);
    let with_unit = quantities().find_map(|number| Some((number, unit(&text[number.end..])?)));
    let accurate = || quantities().find(|number| is_accuracy(number, text)).map(|number| (number, ""));
    let in_table = || quantities().find(|number| in_measured_table(number, text)).map(|number| (number, ""));
    let (number, unit) = with_unit.or_else(accurate).or_else(in_table)?;
    let figure = [&text[number.start..number.end], unit].join(if unit.is_empty() { "" } else { " " });
    Some((text[..number.start].matches('\n').count(), figure))
}

/// The unit at the start of the text after a number.
pub(super) fn unit(behind: &str) -> Option<&str> {
    let rest = behind.trim_start_matches(|c: char| c.is_whitespace() || c == '*');
    let word = first_word(rest);
    let behind_word = rest[word.len()..].trim_start();
    match word {
        // A shape, such as 64 × 64.
        "x" | "×" if behind_word.starts_with(|c: char| c.is_ascii_digit()) => None,
        "per" if first_word(behind_word) == "cent" => Some("per cent"),
        _ if is_unit(word) => Some(word),
        _ => None,
    }
}

fn first_word(text: &str) -> &str {
    let is_end = |c: char| c.is_whitespace() || ",;:()[]|*".contains(c);
    text[..text.find(is_end).unwrap_or(text.len())].trim_end_matches('.')
}

fn is_unit(word: &str) -> bool {
    UNITS.contains(&word) || word.starts_with("s/") || word.len() > 2 && word.ends_with("/s")
}

/// Whether a number looks like 37.93 and the text is about accuracies.
fn is_accuracy(number: &Number, text: &str) -> bool {
    let text = text.to_lowercase();
    let is_percentage = number.has_decimals() && (10.0..100.0).contains(&number.value);
    is_percentage && ACCURACIES.iter().any(|word| text.contains(word))
}

/// Whether a number is in the body of a table whose header names a unit.
fn in_measured_table(number: &Number, text: &str) -> bool {
    let Some(head) = text.lines().find(|line| line.starts_with('|')) else { return false };
    let is_measure = |word: &str| {
        is_unit(word) && !WORDS.contains(&word) || ACCURACIES.contains(&word.to_lowercase().as_str())
    };
    let names_unit = head.split(|c: char| c.is_whitespace() || "|,:()".contains(c)).any(is_measure);
    let row = text[..number.start].rfind('\n').map_or(0, |end| end + 1);
    names_unit && text[row..].starts_with('|') && !text[row..].starts_with(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_looks_measured() {
        let texts = [
            ("up to 340 images/s on", "340 images/s"),
            ("**1.22** times as", "1.22 times"),
            ("a\npeak of 244\nMiB", "244 MiB"),
            ("1.5x faster", "1.5 x"),
            ("is 1.33 × that", "1.33 ×"),
            ("70 % of its time", "70 %"),
            ("78.9 per cent.", "78.9 per cent"),
            ("took 0.2 s.", "0.2 s"),
            ("k-NN reaches 37.93 there", "37.93"),
            ("| side | images/s |\n|---|---|\n| flex | 340 |", "340"),
            ("| work | peak, MiB |\n|---|---|\n| step | 21/693 |", "21"),
        ];
        for (text, figure) in texts {
            assert_eq!(measured(text).map(|(_, figure)| figure).as_deref(), Some(figure), "{text}");
        }
        assert_eq!(measured("a\nb 2 MiB\n"), Some((1, "2 MiB".to_owned())), "the line is that of the number");
    }

    #[test]
    fn options_shapes_years_versions_and_counts_do_not() {
        let texts = [
            "batch 128, width 16 and temperature 0.07 (k = 20) for k-NN",
            "64 × 64 pixels, 8192 x 8192, 2 × 224² pixels, 3×3",
            "Rust 1.95 or later, torch 2.9.0, ResNet-18, in 2020, section 3.3, 65,536 keys",
            "| T | 0.07 |\n|---|---|\n| k-NN | 20 |",
            "| model | parameters |\n|---|---|\n| resnet18 | 11 M |",
        ];
        for text in texts {
            assert_eq!(measured(text), None, "{text}");
        }
    }
}
