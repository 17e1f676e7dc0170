//! Rows of the tables in the documentation: work of known shapes, by name.

use anyhow::{Result, ensure};

use super::work::{Changes, Work};

/// A built-in recipe at a shape.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    base: &'static str,
    model: &'static str,
    /// Width and height of images in pixels.
    image_size: usize,
    /// Images of a batch, each of which has all views of the recipe.
    batch: usize,
    set: &'static [&'static str],
}

/// Whether a group has a row.
pub(super) type Choice = fn(&Row) -> bool;

impl Row {
    pub(super) const fn new(
        name: &'static str,
        base: &'static str,
        model: &'static str,
        image_size: usize,
        batch: usize,
        set: &'static [&'static str],
    ) -> Self {
        Self { name, base, model, image_size, batch, set }
    }

    /// The same row at another shape, where one is given.
    pub(super) fn at(self, image_size: Option<usize>, batch: Option<usize>) -> Self {
        let image_size = image_size.unwrap_or(self.image_size);
        Self { image_size, batch: batch.unwrap_or(self.batch), ..self }
    }

    pub(super) fn work(&self) -> Result<Work> {
        let set: Vec<String> = self.set.iter().map(|text| (*text).to_owned()).collect();
        let changes =
            Changes { model: self.model, image_size: self.image_size, batch: self.batch, set: &set };
        Work::of(self.name, self.base, changes)
    }

    pub(super) fn is_transformer(&self) -> bool {
        self.model.starts_with("vit")
    }
}

/// The rows of a table that have these names or are in groups of these names, in its order, each once.
pub(super) fn named<'a>(
    rows: &'a [Row],
    groups: &[(&str, Choice)],
    names: &[String],
) -> Result<Vec<&'a Row>> {
    let is_in = |row: &Row, name: &str| {
        let group = groups.iter().find(|(group, _)| *group == name);
        group.map_or(row.name == name, |(_, has)| has(row))
    };
    for name in names {
        let known: Vec<_> =
            groups.iter().map(|(name, _)| *name).chain(rows.iter().map(|row| row.name)).collect();
        let known = known.join(", ");
        ensure!(rows.iter().any(|row| is_in(row, name)), "there is no row {name}, expected one of {known}");
    }
    Ok(rows.iter().filter(|row| names.iter().any(|name| is_in(row, name))).collect())
}
