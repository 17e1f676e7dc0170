//! Walks over the keys of a draft.

use toml::{Table, Value};

use super::Recipe;

/// The keys that every recipe needs, each with a value that would do.
const NEEDED: [(&str, &str); 9] = [
    ("method", "'simclr'"),
    ("encoder", "{}"),
    ("data", "{ image_size = 32, mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5] }"),
    ("data.image_size", "32"),
    ("data.mean", "[0.5, 0.5, 0.5]"),
    ("data.std", "[0.5, 0.5, 0.5]"),
    ("views", "[]"),
    ("optimizer", "{}"),
    ("schedule", "{}"),
];

/// A value that would do for a key that every recipe needs.
pub(super) fn example(key: &str) -> Option<Value> {
    let (_, text) = NEEDED.iter().find(|(needed, _)| *needed == key)?;
    format!("value = {text}").parse::<Table>().ok()?.remove("value")
}

/// The paths and values of all keys that are no sections.
pub(super) fn leaves_of(parent: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    let Value::Table(table) = value else {
        found.push((parent.to_owned(), value.clone()));
        return;
    };
    for (key, value) in table {
        let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
        leaves_of(&path, value, found);
    }
}

/// The paths of all keys of a value, those of sections before those in them.
pub(super) fn paths(parent: &str, value: &Value, found: &mut Vec<String>) {
    let Value::Table(table) = value else { return };
    for (key, value) in table {
        let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
        found.push(path.clone());
        paths(&path, value, found);
    }
}

/// A draft without a key, with every other key written out if that makes it a recipe.
pub(super) fn without(root: &Value, key: &str) -> Value {
    let mut root = root.clone();
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = Some(&mut root);
    for part in section.split('.').filter(|part| !part.is_empty()) {
        place = place.and_then(|place| place.get_mut(part));
    }
    if let Some(Value::Table(table)) = place {
        table.remove(name);
    }
    let whole = root.clone().try_into::<Recipe>().ok().and_then(|recipe| Table::try_from(recipe).ok());
    whole.map_or(root, Value::Table)
}
