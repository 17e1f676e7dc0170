//! Development commands of the workspace, run as `cargo xtask <command>`.
//!
//! This package builds in seconds. The commands that need the library are in the package `xtask-checks`, which is built only
//! when one of them is called.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod adding;
mod fuzz;
mod nightly;
mod report_check;
mod tidy;

use std::ffi::{OsStr, OsString};
use std::process::{self, ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Parser};

/// Development commands of burn-ssl.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Checks the repository's own rules, and lists violations as `path:line: sentence`.
    Tidy,
    /// Follows `docs/adding-a-method.md` in a copy of the repository, then checks and compiles the copy.
    AddingAMethod,
    /// Attacks the tool: kills it, fills its disk, damages its files, and counts what it does wrong.
    #[cfg(unix)]
    Torture(xtask::torture::Options),
    /// Searches for inputs that make a parser panic, with libFuzzer; see `fuzz/README.md`.
    Fuzz(fuzz::Fuzz),
    /// Runs what takes too long for CI: Miri, adding-a-method, twenty minutes of attacks, an hour of every fuzz target.
    Nightly(nightly::Nightly),
    /// Opens the page about a run in headless Chromium, and checks what a script can.
    ReportCheck(report_check::ReportCheck),
    /// Runs the cases of the numerical conformance suite, one row each, and counts passes, failures and skips.
    Conformance(Forwarded),
    /// Runs benchmarks, and compares with PyTorch if there is a `--baseline`.
    Bench(Forwarded),
    /// Goes through the first hour of three new users, and reports what each step takes.
    Journey(Forwarded),
    /// Follows docs/guide.md, from photographs to a classifier: `journey guide`.
    Guide(Forwarded),
    /// Packs binaries, baseline scripts and a few images for a machine without network and without Rust.
    Pack(Forwarded),
}

/// Arguments for `xtask-checks`.
#[derive(Args)]
#[command(disable_help_flag = true)]
struct Forwarded {
    /// Arguments of the command; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Command::AddingAMethod => adding::run().map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::Torture(options) => torture(options),
        Command::Fuzz(fuzz) => fuzz.run().map(|()| ExitCode::SUCCESS),
        Command::Nightly(nightly) => nightly.run(attacked).map(|()| ExitCode::SUCCESS),
        Command::ReportCheck(check) => check.run().map(|()| ExitCode::SUCCESS),
        Command::Conformance(forwarded) => forwarded.run(&["conformance"]),
        Command::Bench(forwarded) => forwarded.run(&["bench"]),
        Command::Journey(forwarded) => forwarded.run(&["journey"]),
        Command::Guide(forwarded) => forwarded.run(&["journey", "guide"]),
        Command::Pack(forwarded) => forwarded.run(&["pack"]),
    };
    // Printed here, because a returned error would bring its backtrace along.
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Attacks the tool for some minutes; an error if anything was found.
#[cfg(unix)]
fn attacked(minutes: f64) -> Result<()> {
    let found = torture(xtask::torture::Options::lasting(minutes))? != ExitCode::SUCCESS;
    anyhow::ensure!(!found, "the attacks found something, see above");
    Ok(())
}

/// The attacks need the signals of Unix.
#[cfg(not(unix))]
fn attacked(_minutes: f64) -> Result<()> {
    println!("left out: they need Unix");
    Ok(())
}

/// Builds the tool unless one is named, attacks it, and fails if anything was found.
#[cfg(unix)]
fn torture(mut options: xtask::torture::Options) -> Result<ExitCode> {
    if options.program.is_none() {
        let status =
            process::Command::new(cargo()).args(["build", "--release", "--package", "ssl-cli"]).status();
        anyhow::ensure!(status.context("cargo cannot be started")?.success(), "the tool cannot be built");
        let target = cargo_metadata::MetadataCommand::new().no_deps().exec()?.target_directory;
        options.program = Some(target.join("release/burn-ssl").into());
    }
    let report = xtask::torture::run(&options)?;
    println!("{report}");
    Ok(if report.findings().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Forwarded {
    /// Builds `xtask-checks`, runs one of its commands and passes on the exit code.
    fn run(&self, command: &[&str]) -> Result<ExitCode> {
        let cargo = cargo();
        let run = ["run", "--release", "--package", "xtask-checks", "--"];
        let status = process::Command::new(&cargo).args(run).args(command).args(&self.arguments).status();
        let status = status.with_context(|| format!("{} cannot be started", cargo.display()))?;
        // A process ended by a signal has no exit code.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

/// The cargo that runs this program, or the one in the PATH if it was started directly.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_other_package_are_passed_on_as_they_are() {
        for arguments in [&["--help"][..], &["all", "--devices", "flex,tch", "-h"], &[]] {
            let line = ["xtask", "bench"].iter().chain(arguments);
            match Command::try_parse_from(line).expect("every argument is taken") {
                Command::Bench(forwarded) => assert_eq!(forwarded.arguments, arguments),
                _ => panic!("another command"),
            }
        }
        assert!(Command::try_parse_from(["xtask", "tidy", "--fast"]).is_err(), "tidy takes none");
    }
}
