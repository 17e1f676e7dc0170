//! Results, written to standard output.

use std::fmt::Display;

use anyhow::Result;
use serde::Serialize;

/// Prints a result: as one line of JSON, or in words.
pub(crate) fn print(json: bool, result: &impl Serialize, words: impl Display) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(result)?);
    } else {
        println!("{words}");
    }
    Ok(())
}
