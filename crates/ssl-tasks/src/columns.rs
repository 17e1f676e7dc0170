//! Text in columns.

/// Rows as columns, each as wide as its widest cell.
///
/// ```
/// let rows = [["simclr", "1"], ["byol", "22"]].map(|row| row.map(str::to_owned));
/// assert_eq!(ssl_tasks::columns(&rows), "simclr  1\nbyol    22");
/// ```
pub fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let rows: Vec<&[String]> = rows.iter().map(AsRef::as_ref).collect();
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let cell_width = |row: &[String], column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let width = |column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &&[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
