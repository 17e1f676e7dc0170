//! Development commands of the workspace, run as `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// Development commands of burn-ssl.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Checks the rules of the house that no compiler checks, and lists violations as `path:line: sentence`.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Tidy => tidy::run(),
    };
    // Printed here, because a returned error would bring its backtrace along.
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
