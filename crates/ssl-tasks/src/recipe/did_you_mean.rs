//! Names that somebody may have meant.

use std::fmt;

/// The known names that resemble an unknown one; displayed as `; did you mean a or b?`, or as nothing.
///
/// ```
/// use ssl_tasks::recipe::DidYouMean;
///
/// let methods = ["simclr", "moco-v2", "moco-v3"];
/// assert_eq!(DidYouMean::of("SimCLR", methods).to_string(), "; did you mean simclr?");
/// assert_eq!(DidYouMean::of("moco", methods).to_string(), "; did you mean moco-v2 or moco-v3?");
/// assert_eq!(DidYouMean::of("jigsaw", methods).to_string(), "");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DidYouMean(Vec<String>);

/// More names would not help.
const MOST: usize = 3;

impl DidYouMean {
    /// The names among `known` that are closest to `name`: those that differ in case and hyphens alone, otherwise those
    /// whose last part is the same (`lr` for `optimizer.lr`), then those that `name` begins, then the ones with the fewest
    /// typing errors, up to one in three letters.
    pub fn of<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let wanted = folded(name);
        let rated = known.into_iter().filter_map(|candidate| Some((rating(&wanted, candidate)?, candidate)));
        let rated: Vec<_> = rated.collect();
        let best = rated.iter().map(|(rating, _)| *rating).min();
        let close = rated.iter().filter(|(rating, _)| Some(*rating) == best);
        Self(close.take(MOST).map(|(_, candidate)| (*candidate).to_owned()).collect())
    }
}

impl fmt::Display for DidYouMean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, rest)) = self.0.split_last() else { return Ok(()) };
        write!(f, "; did you mean ")?;
        if !rest.is_empty() {
            write!(f, "{} or ", rest.join(", "))?;
        }
        write!(f, "{last}?")
    }
}

/// How unlike a candidate is, if it is like the name at all.
fn rating(wanted: &str, candidate: &str) -> Option<usize> {
    let candidate = folded(candidate);
    let [own, theirs] = [wanted, candidate.as_str()].map(|path| path.rsplit('.').next().unwrap_or_default());
    if candidate == wanted {
        return Some(0);
    }
    if own == theirs {
        return Some(1);
    }
    if wanted.len() > 1 && candidate.starts_with(wanted) {
        return Some(2);
    }
    let typing = |one: &str, other: &str| {
        let errors = strsim::osa_distance(one, other);
        (errors <= one.chars().count() / 3).then_some(2 + errors)
    };
    typing(wanted, &candidate).into_iter().chain(typing(own, theirs)).min()
}

/// Lower case, with hyphens between words and no indices of lists.
fn folded(name: &str) -> String {
    let outside = name.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
    outside.collect::<String>().to_lowercase().replace(['_', ' '], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = [
        "method",
        "method_options.temperature",
        "optimizer",
        "optimizer.lr",
        "optimizer.momentum",
        "eval.temperature",
    ];

    fn similar(name: &str, known: &[&str]) -> String {
        DidYouMean::of(name, known.iter().copied()).to_string()
    }

    #[test]
    fn keys_are_found_by_their_last_part_and_despite_typing_errors() {
        for (name, expected) in [
            ("lr", "; did you mean optimizer.lr?"),
            ("temperature", "; did you mean method_options.temperature or eval.temperature?"),
            ("optimzer", "; did you mean optimizer?"),
            ("optimizer.momentun", "; did you mean optimizer.momentum?"),
            ("momentum", "; did you mean optimizer.momentum?"),
            ("x", ""),
            ("learning_rate", ""),
        ] {
            assert_eq!(similar(name, &KEYS), expected, "{name}");
        }
    }

    #[test]
    fn names_are_found_whatever_their_case_hyphens_and_versions() {
        let names = ["simclr", "simclr-v2", "moco-v1", "moco-v2", "moco-v3", "byol", "vit-small", "resnet18"];
        for (name, expected) in [
            ("SimCLR", "; did you mean simclr?"),
            ("moco", "; did you mean moco-v1, moco-v2 or moco-v3?"),
            ("vit_small", "; did you mean vit-small?"),
            ("resnet19", "; did you mean resnet18?"),
            ("simsalabim", ""),
        ] {
            assert_eq!(similar(name, &names), expected, "{name}");
        }
    }
}
