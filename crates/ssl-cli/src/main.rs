//! The tool `burn-ssl`: arguments, progress and exit codes. What the commands do is in the library of the same name.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

mod args;
mod commands;
mod interrupt;
mod log;
mod output;
mod progress;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use indicatif::MultiProgress;

use args::Args;

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How a command ended that did not fail.
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
        // Backends report some errors by panicking; the sentence below is enough of it.
        std::panic::set_hook(Box::new(|_| {}));
    }
    match catch_unwind(AssertUnwindSafe(|| commands::run(args, &bars))) {
        Ok(Ok(Ended::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Ended::Interrupted)) => ExitCode::from(INTERRUPTED),
        Ok(Err(error)) => fail(&error.to_string()),
        Err(panic) => fail(&format!("a bug, or a device that gave up: {}", text(panic.as_ref()))),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {}", message.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    ExitCode::FAILURE
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why (set RUST_BACKTRACE=1)")
}
