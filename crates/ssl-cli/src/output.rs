//! Results, written to standard output.

use std::fmt::Display;
use std::io;

use anyhow::Result;
use serde::Serialize;

use crate::wrap;

/// Prints a result: as one line of JSON, or in words.
pub(crate) fn print(json: bool, result: &impl Serialize, words: impl Display) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(result)?);
    } else {
        say(words);
    }
    Ok(())
}

/// Prints words on standard output; in a terminal, their lines are broken at words.
pub(crate) fn say(words: impl Display) {
    println!("{}", wrap::for_terminal(io::stdout(), &words.to_string()));
}

/// Formats rows as columns, each as wide as its widest cell.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
