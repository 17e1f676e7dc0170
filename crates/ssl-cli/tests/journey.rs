//! The first hour of new users, with few images and steps: what each command of README does and says, in terminals of 80 and
//! 120 columns.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use anyhow::Result;
use xtask_journey::{Length, Settings, Step};

/// Goes a short way and fails with all that is wrong on it.
fn goes(user: fn(&Settings) -> Result<Vec<Step>>, columns: u16) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings {
        program: PathBuf::from(env!("CARGO_BIN_EXE_burn-ssl")),
        repository: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        folder: folder.path().to_owned(),
        columns,
        length: Length::Short,
        photos: None,
        python: std::env::var_os("BURN_SSL_PYTHON").map(PathBuf::from),
    };
    let steps = user(&settings).expect("README has the steps");
    let wrong = steps.iter().filter(|step| !step.problems.is_empty());
    let wrong: Vec<String> = wrong.map(Step::to_string).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn an_engineer_gets_from_photographs_to_similar_ones_in_a_narrow_terminal() {
    goes(xtask_journey::engineer, 80);
}

#[test]
fn an_engineer_gets_from_photographs_to_similar_ones_in_a_wide_terminal() {
    goes(xtask_journey::engineer, 120);
}

#[test]
fn a_reader_of_the_guide_gets_from_photographs_to_a_classifier() {
    goes(xtask_journey::guide, 80);
}

#[test]
fn a_programmer_gets_from_an_empty_folder_to_a_method_of_their_own() {
    goes(xtask_journey::programmer, 80);
}

#[test]
fn a_researcher_gets_from_folders_of_classes_to_a_comparison_in_a_narrow_terminal() {
    goes(xtask_journey::researcher, 80);
}

#[test]
fn a_researcher_gets_from_folders_of_classes_to_a_comparison_in_a_wide_terminal() {
    goes(xtask_journey::researcher, 120);
}
