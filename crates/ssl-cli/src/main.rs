//! The command-line tool `burn-ssl`: arguments, progress and exit codes. The commands themselves are in the library of the
//! same name.

mod args;
mod commands;
mod here;
mod hint;
mod interrupt;
mod log;
mod output;
mod progress;
mod wrap;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use burn_ssl::dist::{Ended as JobEnded, Job, local_rank_by_environment, rank_by_environment};
use burn_ssl::train::TrainError;
use burn_ssl::{Error, escaped};
use clap::Parser;

use args::Args;
use here::Here;

/// Characters that are shown of each end of a long message (our choice).
const SHOWN: usize = 400;

/// The exit code of a run that was to stop when it collapses, and did.
const COLLAPSED: u8 = 3;

/// How a command ended, if it did not fail.
enum Ended {
    Done,
    /// By a signal, with the exit code that tells which kind it was.
    Stopped(u8),
    /// Without a run, since it cannot work or nobody has agreed to it; with the exit code that tells which.
    NoRun(u8),
}

fn main() -> ExitCode {
    let job = match join() {
        Ok(job) => job,
        Err(code) => return code,
    };
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(usage) => {
            if job.is_first() {
                let _ = usage.print();
            }
            job.leave();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(1));
        }
    };
    burn_ssl::tune_process();
    if let Some(local) = job.local() {
        // A process that does not know how many others there are keeps all cores.
        burn_ssl::share_cores(local.rank, local.size.unwrap_or(1));
    }
    let here = Here::of(job);
    log::init(&here.bars, here.group().rank());
    if let Some(notice) = here.job.notice() {
        tracing::warn!("{notice}");
    }
    quieten_panics();
    let work = || {
        let ended = commands::run(args, &here)?;
        here.job.group().barrier(); // so that a failure elsewhere is noticed
        Ok(ended)
    };
    let code = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(Ended::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Ended::Stopped(code) | Ended::NoRun(code))) => ExitCode::from(code),
        Ok(Err(error)) => match (fail_job(&here.job, &hint::sentence(&error)), has_collapsed(&error)) {
            (_, true) => ExitCode::from(COLLAPSED),
            (code, false) => code,
        },
        Err(panic) => match panic.downcast_ref::<JobEnded>() {
            Some(ended) if ended.speaks => fail(&ended.message),
            Some(_) => ExitCode::FAILURE,
            None => {
                let sentence = format!("this is a bug, or the device failed: {}", text(panic.as_ref()));
                fail_job(&here.job, &sentence)
            }
        },
    };
    here.job.leave();
    code
}

/// The job of this process, or the exit code of one that cannot join it.
fn join() -> Result<Job, ExitCode> {
    Job::join().map_err(|error| {
        let rank = rank_by_environment();
        match error.is_told_by(rank, local_rank_by_environment()) {
            false => ExitCode::FAILURE,
            true if rank == 0 => fail(&error.to_string()),
            true => fail(&format!("rank {rank}: {error}")),
        }
    })
}

/// Backends report some errors by panicking, and a group that another process has failed; the sentence at the end says enough.
fn quieten_panics() {
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if wanted && !panic.payload().is::<JobEnded>() {
            usual(panic);
        }
    }));
}

fn has_collapsed(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Train(TrainError::Collapsed { .. })))
}

/// Ends all processes with the sentence of the first one that failed.
fn fail_job(job: &Job, sentence: &str) -> ExitCode {
    let rank = job.group().rank();
    match job.fail(sentence) {
        true if rank == 0 => fail(sentence),
        true => fail(&format!("rank {rank}: {sentence}")),
        false => ExitCode::FAILURE,
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
