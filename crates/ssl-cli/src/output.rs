//! Results, written to standard output.

use std::fmt::Display;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::wrap;

/// Prints a result: as one line of JSON, or in words.
pub(crate) fn print(json: bool, result: &impl Serialize, words: impl Display) -> Result<()> {
    if json { write(format!("{}\n", serde_json::to_string(result)?).as_bytes()) } else { say(words) }
}

/// Prints words on standard output; in a terminal, their lines are broken at words.
pub(crate) fn say(words: impl Display) -> Result<()> {
    write(format!("{}\n", wrap::for_terminal(io::stdout(), &words.to_string())).as_bytes())
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
