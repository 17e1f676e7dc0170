//! What is expected of a command, and what it is blamed for.

use super::program::Ended;

/// A message longer than this is no sentence that anybody reads (our choice).
const LONGEST: usize = 900;
/// Signs of a panic in a message.
const PANIC: [&str; 4] = ["panicked", "this is a bug", "RUST_BACKTRACE", "stack backtrace"];

/// The ways to fail an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panicked, aborted, or was ended by a signal that nobody sent.
    Crash,
    /// It did not end.
    Hang,
    /// It reported success where there was none, gave another result than an undisturbed run, lost something, or refused
    /// what is right.
    Silent,
    /// It failed without one short sentence that names what is wrong.
    Unclear,
}

/// A fault, and how it came about.
#[derive(Clone, Debug)]
pub(super) struct Blame {
    pub(super) fault: Fault,
    /// What was attempted, and what was wrong with the answer.
    pub(super) what: String,
    /// The command that shows it.
    pub(super) line: String,
}

/// What a message must contain: each of these; `a|b` stands for one of several.
pub(super) type Words = Vec<String>;

pub(super) fn words<const N: usize>(words: [&str; N]) -> Words {
    words.map(str::to_owned).to_vec()
}

/// How a command has to end.
pub(super) enum Expected {
    Success,
    Refusal(Words),
    /// With success, or with a refusal that says these.
    Either(Words),
}

impl Ended {
    /// What the command is to blame for; `case` says what was attempted.
    pub(super) fn judge(&self, case: &str, expected: &Expected) -> Option<Blame> {
        let (fault, why) = self.fault(expected)?;
        Some(self.blame(fault, format!("{case}: {why}")))
    }

    /// A fault that only the caller sees.
    pub(super) fn blame(&self, fault: Fault, what: String) -> Blame {
        Blame { fault, what, line: self.line.clone() }
    }

    fn fault(&self, expected: &Expected) -> Option<(Fault, String)> {
        if self.status.is_none() {
            return Some((Fault::Hang, format!("still running after {} s", self.time.as_secs())));
        }
        if let Some(signal) = self.signal() {
            return Some((Fault::Crash, format!("ended by signal {signal}: {}", self.said())));
        }
        if let Some(sign) = PANIC.iter().find(|sign| self.stderr.contains(**sign)) {
            return Some((Fault::Crash, format!("'{sign}' in its output: {}", self.said())));
        }
        if let Some(c) = self.stderr.chars().chain(self.stdout.chars()).find(|c| c.is_control() && *c != '\n')
        {
            return Some((Fault::Unclear, format!("the control character {c:?} in its output")));
        }
        match (self.succeeded(), expected) {
            (true, Expected::Success | Expected::Either(_)) => None,
            (true, Expected::Refusal(_)) => {
                Some((Fault::Silent, "success where a refusal is due".to_owned()))
            }
            (false, Expected::Success) => {
                Some((Fault::Silent, format!("a refusal where success is due: {}", self.said())))
            }
            (false, Expected::Refusal(words) | Expected::Either(words)) => {
                self.unclear(words).map(|why| (Fault::Unclear, format!("{why}: {}", self.said())))
            }
        }
    }

    /// Why the message of a refusal is unclear.
    fn unclear(&self, words: &Words) -> Option<String> {
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        let said = self.said();
        if errors != 1 || !said.starts_with("error: ") {
            return Some(format!("{errors} lines begin with 'error: ', expected the last alone"));
        }
        if said.chars().count() > LONGEST {
            return Some(format!("a message of {} characters", said.chars().count()));
        }
        let is_missing = |word: &&String| !word.split('|').any(|one| said.contains(one));
        words.iter().find(is_missing).map(|word| format!("a message without '{word}'"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    /// A process with this wait status: the exit code times 256, or a signal.
    fn ended(status: Option<i32>, stderr: &str) -> Ended {
        let (stdout, line) = (String::new(), String::new());
        let status = status.map(ExitStatus::from_raw);
        Ended { status, stdout, stderr: stderr.to_owned(), line, time: Duration::ZERO }
    }

    fn fault(status: Option<i32>, stderr: &str, expected: &Expected) -> Option<Fault> {
        ended(status, stderr).judge("case", expected).map(|blame| blame.fault)
    }

    #[test]
    fn a_crash_is_told_from_a_refusal() {
        let refusal = Expected::Refusal(words(["a.png"]));
        assert_eq!(fault(Some(6), "", &refusal), Some(Fault::Crash));
        assert_eq!(fault(Some(256), "error: this is a bug: a.png", &refusal), Some(Fault::Crash));
        assert_eq!(fault(None, "", &Expected::Success), Some(Fault::Hang));
        assert_eq!(fault(Some(256), "warning\nerror: a.png is empty", &refusal), None);
    }

    #[test]
    fn what_should_fail_and_what_should_work_is_checked() {
        let either = Expected::Either(words(["x"]));
        assert_eq!(fault(Some(0), "", &Expected::Refusal(words([]))), Some(Fault::Silent));
        assert_eq!(fault(Some(256), "error: x", &Expected::Success), Some(Fault::Silent));
        assert_eq!((fault(Some(0), "", &either), fault(Some(256), "error: x", &either)), (None, None));
    }

    #[test]
    fn a_message_is_one_short_sentence_with_the_words_it_needs() {
        let refusal = Expected::Refusal(words(["a.png|b.png", "space"]));
        let unclear = Some(Fault::Unclear);
        assert_eq!(fault(Some(256), "error: no space for b.png", &refusal), None);
        assert_eq!(fault(Some(256), "error: no space for c.png", &refusal), unclear);
        assert_eq!(fault(Some(256), "no space for a.png", &refusal), unclear);
        assert_eq!(fault(Some(256), "error: a\nerror: no space for a.png", &refusal), unclear);
        assert_eq!(fault(Some(256), "error: no space for a.png\nand more", &refusal), unclear);
        assert_eq!(fault(Some(256), "error: no space for a.png \x1b[31m", &refusal), unclear);
        let long = format!("error: no space for a.png {}", "long ".repeat(200));
        assert_eq!(fault(Some(256), &long, &refusal), unclear);
    }
}
