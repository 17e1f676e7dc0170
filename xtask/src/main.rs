//! Development commands of the workspace, run as `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod tidy;

use clap::Parser;

/// Development commands of burn-ssl.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Checks the rules of the house that no compiler checks, and lists every violation as `path:line: sentence`.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Tidy => tidy::run(),
    }
}
