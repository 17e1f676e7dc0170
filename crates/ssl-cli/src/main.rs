//! The command-line tool `burn-ssl`: arguments, progress and exit codes. The commands themselves are in the library of the
//! same name.
#![expect(clippy::print_stdout, reason = "results go to standard output")]

mod args;
mod commands;
mod hint;
mod interrupt;
mod log;
mod output;
mod progress;
mod wrap;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use indicatif::MultiProgress;

use args::Args;

/// The exit code that shells give a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How a command ended, if it did not fail.
enum Ended {
    Done,
    Interrupted,
}

fn main() -> ExitCode {
    let args = Args::parse();
    burn_ssl::tune_process();
    let bars = MultiProgress::new();
    log::init(&bars);
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        // Backends report some errors by panicking; the sentence below says enough.
        std::panic::set_hook(Box::new(|_| {}));
    }
    match catch_unwind(AssertUnwindSafe(|| commands::run(args, &bars))) {
        Ok(Ok(Ended::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Ended::Interrupted)) => ExitCode::from(INTERRUPTED),
        Ok(Err(error)) => fail(&hint::sentence(&error)),
        Err(panic) => fail(&format!("this is a bug, or the device failed: {}", text(panic.as_ref()))),
    }
}

fn fail(message: &str) -> ExitCode {
    let sentence = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    eprintln!("{}", wrap::for_terminal(std::io::stderr(), &format!("error: {sentence}")));
    ExitCode::FAILURE
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message (set RUST_BACKTRACE=1)")
}
