//! Which tensors of a file and an encoder have no counterpart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use burn::tensor::TensorData;

/// Names that are shown in words.
const SHOWN: usize = 5;

/// The tensors of a file and of an encoder that have no counterpart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Tensors of the encoder that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the encoder lacks, other than heads, counters and other networks.
    pub left_over: Vec<String>,
}

impl Misfit {
    pub(super) fn between(found: &BTreeMap<String, TensorData>, wanted: &BTreeSet<String>) -> Self {
        Self {
            missing: wanted.iter().filter(|name| !found.contains_key(*name)).cloned().collect(),
            left_over: found.keys().filter(|name| !wanted.contains(*name)).cloned().collect(),
        }
    }
}

/// What comes after the sentence about the first such tensor: nothing if that is the only one.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, left_over } = self;
        if missing.len() + left_over.len() < 2 {
            return Ok(());
        }
        for (what, names) in [("missing", missing), ("left over", left_over)] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", shown(names))?;
            }
        }
        Ok(())
    }
}

fn shown(names: &[String]) -> String {
    let mut words: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        words.push(format!("{} more", names.len() - SHOWN));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_counterpart_is_named_unless_it_is_alone() {
        let tensor = |name: &str| (name.to_owned(), TensorData::from([1.0_f32]));
        let found = ["a", "b", "c"].map(tensor).into();
        let between = |wanted: &[&str]| {
            Misfit::between(&found, &wanted.iter().map(|name| (*name).to_owned()).collect()).to_string()
        };
        assert_eq!(between(&["a", "b", "c"]), "");
        assert_eq!(between(&["a", "b", "c", "d"]), "");
        assert_eq!(between(&["a", "d", "e"]), "; missing: d, e; left over: b, c");
        let many = between(&["a", "b", "c", "1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(many, "; missing: 1, 2, 3, 4, 5, 2 more");
    }
}
