//! The numbers of a text, with their precision as written.

use super::unmarked::{UNITS, unit};

/// A number and its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// The value, without its sign, since a text may write it as a dash.
    pub(super) value: f64,
    /// The value of one unit in the last digit: 0.01 for `1.22`.
    digit: f64,
    /// Offsets of its first byte and of the byte after it.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is a quantity, and not part of a name, a version, a date or a shape.
    pub(super) stands_alone: bool,
    /// Whether its unit is seconds.
    pub(super) is_seconds: bool,
}

impl Number {
    /// Whether `value` equals this number when rounded to the same number of digits.
    pub(super) fn rounds(&self, value: f64) -> bool {
        (value.abs() - self.value).abs() <= self.digit * (0.5 + 1e-9)
    }

    /// Whether it has digits after the point.
    pub(super) fn has_decimals(&self) -> bool {
        self.digit < 1.0
    }
}

/// All numbers of a text in order: `4,096`, `1.22` and `1e-6` are one each, and so is every version.
pub(super) fn numbers(text: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = text[from..].find(|c: char| c.is_ascii_digit()) {
        let start = from + offset;
        let (number, end) = number(text, start);
        found.extend(number);
        from = end;
    }
    found
}

/// The number that starts at a digit, `None` for a version, and the end of either.
fn number(text: &str, start: usize) -> (Option<Number>, usize) {
    let whole = start + digits(&text[start..]);
    let mut end = whole + if whole - start <= 3 { thousands(&text[whole..]) } else { 0 };
    let mut decimals = fraction(&text[end..]);
    end += decimals;
    let mut version = false;
    while decimals > 0 && fraction(&text[end..]) > 0 {
        end += fraction(&text[end..]);
        version = true;
    }
    if version {
        return (None, end);
    }
    let mantissa = text[start..end].replace(',', "");
    let exponent = exponent(&text[end..]);
    let power = text[end..end + exponent].trim_start_matches('e').parse().unwrap_or(0);
    end += exponent;
    decimals = decimals.saturating_sub(1);
    let value = format!("{mantissa}e{power}").parse().unwrap_or(f64::NAN);
    let digit = 10_f64.powi(power - i32::try_from(decimals).unwrap_or(0));
    let stands_alone = is_apart_from(&text[..start]) && !continues(&text[end..]);
    let is_seconds = matches!(unit(&text[end..]), Some("s" | "seconds"));
    (Some(Number { value, digit, start, end, stands_alone, is_seconds }), end)
}

/// Length of the digits at the start of a text.
fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// Length of groups of three digits, each after a comma.
fn thousands(text: &str) -> usize {
    let mut length = 0;
    while text[length..].starts_with(',') && digits(&text[length + 1..]) == 3 {
        length += 4;
    }
    length
}

/// Length of a point and the digits after it.
fn fraction(text: &str) -> usize {
    match text.strip_prefix('.').map(digits) {
        None | Some(0) => 0,
        Some(length) => length + 1,
    }
}

/// Length of `e-6` and the like.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix('e') else { return 0 };
    let sign = usize::from(rest.starts_with(['-', '+']));
    match digits(&rest[sign..]) {
        0 => 0,
        length => 1 + sign + length,
    }
}

/// Whether the text before a number is separate from it, unlike in `ResNet-18`, `v2`, `2026-11`, `3×3` and paths.
fn is_apart_from(before: &str) -> bool {
    let mut back = before.chars().rev();
    let (last, further) = (back.next(), back.next());
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    match last {
        Some('-') => !further.is_some_and(joins),
        Some('/') => !further.is_some_and(char::is_alphabetic),
        Some('.' | '×' | '^' | '#') => false,
        Some(c) => !joins(c),
        None => true,
    }
}

/// Whether the text after a number continues it: `64-bit`, `2core`, `224²`, `3×3`. A unit does not.
fn continues(behind: &str) -> bool {
    let mut chars = behind.chars();
    match (chars.next(), chars.next()) {
        (Some('-' | '×'), Some(next)) => next.is_alphanumeric(),
        (Some(c), _) if c.is_alphanumeric() || c == '_' => {
            !UNITS.contains(&behind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(""))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<f64> {
        numbers(text).iter().filter(|number| number.stands_alone).map(|number| number.value).collect()
    }

    #[test]
    fn separators_points_and_exponents_belong_to_a_number() {
        assert_eq!(
            values("4,096 of 1,234,567.5 at 1.22, 16, 64 and 512,4096; 1e-6"),
            [4096.0, 1_234_567.5, 1.22, 16.0, 64.0, 512.0, 4096.0, 1e-6]
        );
        assert_eq!(
            values("N=20, (0.088), **7**, 21/693 MiB, 5x, 30ms, −3"),
            [20.0, 0.088, 7.0, 21.0, 693.0, 5.0, 30.0, 3.0]
        );
    }

    #[test]
    fn names_versions_dates_and_shapes_are_no_quantities() {
        let text =
            "ResNet-18, v2, torch 2.9.0, 2026-11-24, 3×3, F(4×4), 224², 64-bit, 2core, x86_64, a/3, #12";
        assert!(values(text).is_empty(), "{:?}", values(text));
    }

    #[test]
    fn a_number_is_what_rounds_to_it() {
        let holds = |text: &str, value: f64| numbers(text)[0].rounds(value);
        assert!(
            holds("1.22", 1.2205) && holds("1.2", 1.2205) && holds("340", 339.746) && holds("4e-7", 3.8e-7)
        );
        assert!(
            !holds("1.23", 1.2205) && !holds("1.220", 1.2206) && !holds("339", 339.746) && !holds("0", 0.51)
        );
        assert!(holds("3", -3.2), "the sign is not compared");
    }
}
