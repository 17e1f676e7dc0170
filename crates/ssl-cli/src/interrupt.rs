//! Ctrl-C and the signals that end or move a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context, Result};
use indicatif::MultiProgress;

/// The exit code that shells give a program ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of a run that a machine or a scheduler stopped, and that can go on: `EX_TEMPFAIL` of `sysexits.h`, "the user is
/// invited to retry".
pub(crate) const REQUEUE: u8 = 75;

/// Whether a signal asked the run to stop, and the exit code that says so: that of the first one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Heard>);

/// The signals so far.
#[derive(Debug, Default)]
struct Heard {
    /// The exit code of the first; 0 before.
    code: AtomicU8,
    ctrl_c: AtomicBool,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The run will stop after its step.
    Stops,
    /// Nothing: the run stops already.
    None,
    /// The process quits without saving.
    Quits,
}

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        self.code() != 0
    }

    /// 0 if nothing asked.
    pub(crate) fn code(&self) -> u8 {
        self.0.code.load(Ordering::SeqCst)
    }

    /// Takes note of a signal with this exit code.
    ///
    /// Only a person's second Ctrl-C quits. The other signals come more than once by themselves: a scheduler sends them to every
    /// process and the launcher hands them on, or the one that announces the end of a job is followed by the one that ends it.
    fn hear(&self, code: u8) -> Effect {
        let is_first = self.0.code.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let is_repeated = code == INTERRUPTED && self.0.ctrl_c.swap(true, Ordering::SeqCst);
        match (is_repeated, is_first) {
            (true, _) => Effect::Quits,
            (false, true) => Effect::Stops,
            (false, false) => Effect::None,
        }
    }
}

/// Asked by the first signal; a second Ctrl-C ends the process at once. The answer is printed above the bars, by the process that
/// speaks for all.
pub(crate) fn on_signal(bars: &MultiProgress, speaks: bool) -> Result<Stop> {
    let stop = Stop::default();
    let (heard, bars) = (stop.clone(), bars.clone());
    listen(move |code| {
        let effect = heard.hear(code);
        if effect == Effect::Quits {
            std::process::exit(i32::from(code));
        }
        let again = if code == INTERRUPTED { "again" } else { "twice" };
        // Whoever presses Ctrl-C is answered, and signals that repeat themselves are not.
        if speaks && (effect == Effect::Stops || code == INTERRUPTED) {
            let quit = format!("press Ctrl-C {again} to quit without saving");
            bars.suspend(|| eprintln!("stopping after this step ({quit})"));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The effects of signals that come one after the other, and the exit code of a run that stops.
    fn effects(codes: &[u8]) -> (Vec<Effect>, u8) {
        let stop = Stop::default();
        assert!(!stop.is_asked());
        (codes.iter().map(|&code| stop.hear(code)).collect(), stop.code())
    }

    #[test]
    fn signals_of_a_scheduler_may_come_again_while_the_run_stops() {
        let (found, code) = effects(&[REQUEUE, REQUEUE, REQUEUE]);
        assert_eq!((&found[..], code), (&[Effect::Stops, Effect::None, Effect::None][..], REQUEUE));
        let (found, code) = effects(&[INTERRUPTED, REQUEUE]);
        assert_eq!((&found[..], code), (&[Effect::Stops, Effect::None][..], INTERRUPTED));
    }

    #[test]
    fn a_second_ctrl_c_quits_whatever_came_between() {
        let (found, _) = effects(&[INTERRUPTED, INTERRUPTED]);
        assert_eq!(found, [Effect::Stops, Effect::Quits]);
        let (found, code) = effects(&[REQUEUE, INTERRUPTED, REQUEUE, INTERRUPTED]);
        assert_eq!(found, [Effect::Stops, Effect::None, Effect::None, Effect::Quits]);
        assert_eq!(code, REQUEUE, "that of the first signal");
    }
}
