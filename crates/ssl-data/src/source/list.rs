use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use ssl_files::escaped;

use super::{IMAGE_EXTENSIONS, Recognised, folder::Files, is_image_name, labels};
use crate::DataError;

/// Endings of file names that are lists.
pub(super) const EXTENSIONS: [&str; 3] = [".csv", ".tsv", ".txt"];

/// The images that a text file names, in its order: `path` or `path,label` on each line.
///
/// - Paths are relative to the folder of the list. Lines that are empty or begin with `#` do not count.
/// - The separator is the comma, in a `.tsv` file the tab. Quotes protect it, as in CSV; columns after the
///   second do not count.
/// - The first line is a header if its first column does not end like an image.
/// - Labels that are all whole numbers keep their values; otherwise the names are numbered in byte order.
pub(super) fn open(list: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    let rows = read_rows(list)?;
    if !rows.iter().any(|row| is_image_name(&row[0])) {
        let looked_for =
            format!("lines that begin with a path that ends in .{}", IMAGE_EXTENSIONS.join(", ."));
        return Err(DataError::Empty { path: list.into(), looked_for, found: "none".into() });
    }
    let (labels, class_names) = read_labels(list, &rows)?;
    let paths = rows.iter().map(|row| row[0].into()).collect();
    let root = list.parent().unwrap_or(Path::new("")).to_path_buf();
    let source = Box::new(Files::new(root, paths, max_image_bytes));
    Ok(Recognised { kind: "list of images", source, labels, class_names })
}

fn read_rows(list: &Path) -> Result<Vec<StringRecord>, DataError> {
    let tabs = list.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    let mut reader = ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .from_path(list)
        .map_err(|error| DataError::malformed(list, error))?;
    let mut rows =
        reader.records().collect::<Result<Vec<_>, _>>().map_err(|error| DataError::malformed(list, error))?;
    if rows.first().is_some_and(|first| !is_image_name(&first[0])) {
        rows.remove(0);
    }
    Ok(rows)
}

type OptionalLabels = (Option<Vec<i64>>, Option<Vec<String>>);

fn read_labels(list: &Path, rows: &[StringRecord]) -> Result<OptionalLabels, DataError> {
    let label = |row: &StringRecord| row.get(1).filter(|label| !label.is_empty()).map(String::from);
    let found: Vec<_> = rows.iter().filter_map(label).collect();
    if found.is_empty() {
        return Ok((None, None));
    }
    if let Some(row) = rows.iter().find(|row| label(row).is_none()) {
        let reason = format!("{} has no label, although other lines have one", escaped(&row[0]));
        return Err(DataError::malformed(list, reason));
    }
    if let Ok(numbers) = found.iter().map(|label| label.parse()).collect() {
        return Ok((Some(numbers), None));
    }
    let (labels, names) = labels::from_names(&found.iter().map(String::as_str).collect::<Vec<_>>());
    Ok((Some(labels), Some(names)))
}
