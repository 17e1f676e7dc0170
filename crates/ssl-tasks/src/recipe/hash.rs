//! Hashes of TOML documents.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// A hash of a TOML document that does not depend on the order of keys or the spelling of values: 64-bit FNV-1a, in
/// hexadecimal.
///
/// ```
/// # use ssl_tasks::recipe::hash;
/// let same = ["a = 1e-3\nb = [1, 2]", "# why\nb = [1, 2]\na = 0.001"];
/// assert_eq!(hash(&same[0].parse()?), hash(&same[1].parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash(table: &Table) -> String {
    let text: String = leaves(table).iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The scalar values by path; each path begins with a dot.
pub(crate) fn leaves(table: &Table) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    flatten("", &Value::Table(table.clone()), &mut leaves);
    leaves
}

fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            table.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, leaves));
        }
        Value::Array(array) => {
            array.iter().enumerate().for_each(|(place, value)| {
                flatten(&format!("{path}.{place}"), value, leaves);
            });
        }
        leaf => drop(leaves.insert(path.to_owned(), leaf.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        hash(&text.parse().expect("TOML"))
    }

    #[test]
    fn the_hash_is_of_values_and_not_of_their_order_or_spelling() {
        assert_eq!(of("a = 1e-3\nb = [1, 2]"), of("# why\nb = [1, 2]\na = 0.001"));
        assert_ne!(of("b = [1, 2]"), of("b = [2, 1]"));
        assert_ne!(of("a = 1\nb = 2"), of("a = 2\nb = 1"));
        // The start value of FNV-1a.
        assert_eq!(of(""), "cbf29ce484222325");
    }
}
