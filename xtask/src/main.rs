//! The commands of `cargo xtask` that need the library; the package `xtask` forwards them here.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod bench;
mod conformance;
#[cfg(unix)]
mod journey;
mod pack;
mod tars;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Checks and benchmarks of burn-ssl that run the library.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Runs the cases of the numerical conformance suite, one row each, and counts passes and failures.
    Conformance {
        /// A folder of `*.safetensors` cases; those of this repository by default.
        dir: Option<PathBuf>,
    },
    Bench(bench::Bench),
    #[cfg(unix)]
    Journey(journey::Journey),
    Pack(pack::Pack),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Conformance { dir } => return conformance::run(dir),
        Command::Bench(bench) => bench::run(&bench),
        #[cfg(unix)]
        Command::Journey(journey) => journey.run(),
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
