//! How long a target has been searched, so that a search can go on another day.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// One run of a target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Round {
    /// The commit that was searched.
    pub(super) commit: String,
    /// Processor time.
    pub(super) seconds: f64,
    /// Inputs that were tried.
    pub(super) inputs: u64,
}

/// All runs of a target, a line each: commit, seconds, inputs.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    rounds: Vec<Round>,
}

impl Ledger {
    /// Opens the ledger of a target, with its earlier rounds if they count. They stay in the file in any case.
    pub(super) fn open(path: &Path, resume: bool) -> Result<Self> {
        let text = if resume { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        let rounds = text.lines().filter_map(round).collect();
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| path.display().to_string())?, rounds })
    }

    pub(super) fn add(&mut self, round: Round) -> Result<()> {
        let Round { commit, seconds, inputs } = &round;
        writeln!(self.file, "{commit} {seconds:.1} {inputs}")?;
        self.rounds.push(round);
        Ok(())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.rounds.iter().map(|round| round.seconds).sum()
    }

    pub(super) fn inputs(&self) -> u64 {
        self.rounds.iter().map(|round| round.inputs).sum()
    }
}

fn round(line: &str) -> Option<Round> {
    let mut words = line.split(' ');
    let (commit, seconds, inputs) = (words.next()?, words.next()?, words.next()?);
    Some(Round { commit: commit.to_owned(), seconds: seconds.parse().ok()?, inputs: inputs.parse().ok()? })
}

/// The processor time that a process has taken so far, in user mode and in the kernel.
pub(super) fn processor_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Fields 14 and 15, counted from the state after the name, which is the third; in ticks of 10 ms.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_where_the_last_one_ended_only_if_asked_to() {
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let one = Round { commit: "1f2e3d4".into(), seconds: 12.5, inputs: 100 };
        Ledger::open(&path, false).expect("writable").add(one.clone()).expect("writable");
        Ledger::open(&path, true).expect("readable").add(one).expect("writable");
        let both = Ledger::open(&path, true).expect("readable");
        assert_eq!((both.seconds(), both.inputs()), (25.0, 200));
        assert_eq!(Ledger::open(&path, false).expect("writable").inputs(), 0);
        assert_eq!(Ledger::open(&path, true).expect("readable").inputs(), 200, "nothing is lost");
        fs::remove_file(path).expect("written above");
    }

    #[test]
    fn the_processor_time_of_this_process_is_read() {
        let before = processor_seconds(std::process::id()).expect("Linux");
        let mut sum = 0_u64;
        while processor_seconds(std::process::id()).expect("Linux") < before + 0.02 {
            sum = (0..100_000).fold(sum, |sum, value| sum.wrapping_mul(31).wrapping_add(value));
        }
        assert!(sum != 1);
    }
}
