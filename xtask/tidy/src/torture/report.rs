//! What came of the attacks, as a table and a list.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Name;
use super::verdict::{Blame, Fault};

/// Something that went wrong.
#[derive(Debug)]
pub struct Finding {
    pub(super) name: Name,
    pub(super) number: usize,
    pub(super) blame: Blame,
    /// The folder with its files.
    pub(super) kept: PathBuf,
}

/// One attack.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Name,
    pub(super) attempts: usize,
    /// Attempts on the list of the attack, as opposed to random ones.
    pub(super) cases: usize,
    pub(super) findings: Vec<Finding>,
    pub(super) skipped: Option<&'static str>,
}

impl Row {
    pub(super) fn new(name: Name) -> Self {
        Self { name, attempts: 0, cases: 0, findings: Vec::new(), skipped: None }
    }

    fn count(&self, fault: Fault) -> usize {
        self.findings.iter().filter(|finding| finding.blame.fault == fault).count()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = self.skipped {
            return write!(f, "| {} | skipped: {why} | | | | |", self.name.text());
        }
        write!(f, "| {} | {} of {} listed", self.name.text(), self.attempts.min(self.cases), self.cases)?;
        if self.attempts > self.cases {
            write!(f, ", {} random", self.attempts - self.cases)?;
        }
        for fault in [Fault::Crash, Fault::Hang, Fault::Silent, Fault::Unclear] {
            write!(f, " | {}", self.count(fault))?;
        }
        f.write_str(" |")
    }
}

/// All attacks.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    pub(super) rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, rows: Vec::new() }
    }

    /// Everything that went wrong.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.rows.iter().flat_map(|row| &row.findings)
    }

    /// The number of attempts of all attacks.
    pub fn attempts(&self) -> usize {
        self.rows.iter().map(|row| row.attempts).sum()
    }

    /// Writes `report.md` into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("report.md");
        fs::write(&path, self.to_string()).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn list(&self, f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
        let Finding { name, number, blame, kept } = finding;
        let name = name.text();
        writeln!(f, "\n- **{:?}** in {name}, attempt {number}: {}", blame.fault, blame.what)?;
        writeln!(f, "  - `{}`", blame.line)?;
        writeln!(f, "  - `cargo xtask torture --only {name} --seed {} --attempt {number}`", self.seed)?;
        writeln!(f, "  - files: {}", kept.display())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`cargo xtask torture --seed {}`\n", self.seed)?;
        writeln!(f, "| attack | attempts | crashes | hangs | silent errors | unclear messages |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        self.findings().try_for_each(|finding| self.list(f, finding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_and_the_list_says_how_to_see_it_again() {
        let blame =
            Blame { fault: Fault::Hang, what: "a FIFO".to_owned(), line: "burn-ssl embed".to_owned() };
        let finding = Finding { name: Name::Images, number: 7, blame, kept: "kept".into() };
        let row = Row { attempts: 12, cases: 10, findings: vec![finding], ..Row::new(Name::Images) };
        let skipped = Row { skipped: Some("no root"), ..Row::new(Name::Disks) };
        let report = Report { seed: 5, rows: vec![row, skipped] };
        let text = report.to_string();
        assert!(text.contains("| images | 10 of 10 listed, 2 random | 0 | 1 | 0 | 0 |"), "{text}");
        assert!(text.contains("| disks | skipped: no root |"), "{text}");
        assert!(text.contains("cargo xtask torture --only images --seed 5 --attempt 7"), "{text}");
        assert_eq!((report.findings().count(), report.attempts()), (1, 12));
    }
}
