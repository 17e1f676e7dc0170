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
