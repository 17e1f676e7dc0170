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

use burn_ssl::escaped;
use clap::Parser;
use indicatif::MultiProgress;

use args::Args;

/// The exit code that shells give a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Characters that are shown of each end of a long message (our choice).
const SHOWN: usize = 400;

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
    let sentence = in_one_line(message);
    eprintln!("{}", wrap::for_terminal(std::io::stderr(), &format!("error: {sentence}")));
    ExitCode::FAILURE
}

/// A message without line breaks, without control characters that came from a file, and without the middle if it is long.
fn in_one_line(message: &str) -> String {
    let joined = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut shown: Vec<char> = escaped(&joined).chars().collect();
    if shown.len() > 2 * SHOWN {
        let cut = SHOWN..shown.len() - SHOWN;
        shown.splice(cut, " ... ".chars());
    }
    shown.into_iter().collect()
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message (set RUST_BACKTRACE=1)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length_without_control_characters() {
        assert_eq!(in_one_line("no\n  such\tfile\u{1b}[31m"), "no such\\tfile\\u{1b}[31m");
        let long = in_one_line(&format!("model '{}' is unknown", "a".repeat(1_000_000)));
        assert!(long.starts_with("model 'aaa") && long.ends_with("aaa' is unknown"), "{long}");
        assert_eq!(long.chars().count(), 2 * SHOWN + 5);
    }
}
