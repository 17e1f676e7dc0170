//! Ctrl-C and the signals that end or move a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use indicatif::MultiProgress;

/// The exit code that shells give a program ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of a run that a machine or a scheduler stopped, and that can go on: `EX_TEMPFAIL` of `sysexits.h`, "the user is
/// invited to retry".
pub(crate) const REQUEUE: u8 = 75;

/// Whether a signal asked the run to stop, and the exit code that says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicU8>);

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        self.code() != 0
    }

    /// 0 if nothing asked.
    pub(crate) fn code(&self) -> u8 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Asked by the first signal; the second ends the process at once. The answer is printed above the bars, by the process that
/// speaks for all.
pub(crate) fn on_signal(bars: &MultiProgress, speaks: bool) -> Result<Stop> {
    let stop = Stop::default();
    let (asked, bars) = (stop.clone(), bars.clone());
    listen(move |code| {
        if asked.0.swap(code, Ordering::SeqCst) != 0 {
            std::process::exit(i32::from(code));
        }
        let again = if code == INTERRUPTED { "press Ctrl-C again" } else { "send the signal again" };
        if speaks {
            bars.suspend(|| eprintln!("stopping after this step ({again} to quit without saving)"));
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Calls `asked` with an exit code for every signal.
#[cfg(unix)]
fn listen(asked: impl Fn(u8) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    use signal_hook::iterator::Signals;

    // SLURM announces with SIGUSR1 or SIGTERM that it will take the machine away.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().for_each(|signal| asked(if signal == SIGINT { INTERRUPTED } else { REQUEUE }));
    })?;
    Ok(())
}

/// Calls `asked` with an exit code for every Ctrl-C.
#[cfg(not(unix))]
fn listen(asked: impl Fn(u8) + Send + 'static) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || asked(INTERRUPTED))
}
