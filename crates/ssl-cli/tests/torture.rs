//! A short form of `cargo xtask torture`: a fixed number of attempts, with the same seed every time.
#![cfg(unix)]

use std::io::{Write as _, stderr};
use std::path::PathBuf;

use xtask::torture::{Name, Options, Report, run};

/// Makes attempts of some attacks, and says what they found.
fn attempts(only: Vec<Name>, attempts: usize) -> Report {
    let out = tempfile::tempdir().expect("a temporary folder");
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_burn-ssl")));
    let (minutes, attempt, seed, out) = (0.0, None, 1, out.path().to_owned());
    let report = run(&Options { program, minutes, attempts: Some(attempts), attempt, seed, only, out });
    let report = report.expect("the attacks can be made");
    assert!(report.findings().next().is_none(), "{report}");
    report
}

#[test]
fn what_is_no_image_archive_weights_or_recipe_is_refused() {
    let files = vec![Name::Images, Name::Tars, Name::Weights, Name::Recipes];
    assert_eq!(attempts(files, 24).attempts(), 96);
}

#[test]
fn damage_to_a_run_directory_is_noticed() {
    assert_eq!(attempts(vec![Name::Checkpoints], 40).attempts(), 40);
}

#[test]
fn runs_that_are_killed_or_meet_another_lose_nothing() {
    assert_eq!(attempts(vec![Name::Kills, Name::Pairs], 6).attempts(), 12);
}

/// Where no disk can be mounted, the report says so, and there are no attempts; CI is told what it leaves out.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let report = attempts(vec![Name::Disks], 8);
    let skipped = report.to_string().contains("| disks | skipped: ");
    assert_eq!(report.attempts(), if skipped { 0 } else { 8 });
    if skipped {
        // Past the capture of what a test prints.
        writeln!(stderr(), "skipped: runs on a full disk, for none can be mounted here")
            .expect("an open stderr");
    }
}
