//! Development commands of the workspace, run as `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod bench;
mod conformance;
mod pack;
mod tars;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Development commands of burn-ssl.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Runs the cases of the numerical conformance suite, one row each, and counts passes, failures and skips.
    Conformance {
        /// A folder of `*.safetensors` cases; those of this repository by default.
        dir: Option<PathBuf>,
    },
    /// Checks the rules of the house that no compiler checks, and lists violations as `path:line: sentence`.
    Tidy,
    Bench(bench::Bench),
    Pack(pack::Pack),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Conformance { dir } => return conformance::run(dir),
        Command::Tidy => tidy::run(),
        Command::Bench(bench) => bench::run(&bench),
        Command::Pack(pack) => pack::run(&pack),
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
