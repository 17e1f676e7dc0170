//! `cargo xtask bench accuracy`: accuracy of every method after a short run, ours and PyTorch's on the same recipe.
//!
//! The numbers of the recipes `<method>/cifar10-quick` are chosen on validation images (`choose`), committed, and only then
//! tested (`test`); `table` writes the page of results from their files.

mod choice;
mod choose;
mod labels;
mod places;
mod pool;
mod quick;
mod record;
mod sides;
mod statistics;
mod table;
mod test;

use anyhow::{Result, ensure};
use burn_ssl::registry::{METHODS, needs};
use clap::{Args, Subcommand};

/// Options of `bench accuracy`.
#[derive(Args)]
pub(crate) struct Accuracy {
    #[command(subcommand)]
    phase: Phase,
}

#[derive(Subcommand)]
enum Phase {
    /// Trains the candidates in xtask/accuracy/candidates.toml, scores them on validation images and writes chosen.toml.
    Choose(choose::Choose),
    /// Trains every method on both sides with every seed, and scores it once on test images.
    Test(test::Test),
    /// Writes docs/benchmarks/accuracy/README.md from the files of the runs.
    Table,
}

impl Accuracy {
    pub(super) fn run(&self) -> Result<()> {
        match &self.phase {
            Phase::Choose(choose) => choose.run(),
            Phase::Test(test) => test.run(),
            Phase::Table => table::write(),
        }
    }
}

/// The methods that learn from images alone, and those that learn from a frozen network if there is one.
fn comparable(has_teacher: bool) -> Vec<&'static str> {
    let names = METHODS.iter().map(|method| method.name);
    names.filter(|name| has_teacher || !learns_from_network(name)).collect()
}

/// Whether a method learns from a frozen network.
fn learns_from_network(method: &str) -> bool {
    needs(method).is_ok_and(|needs| needs.teacher)
}

/// The methods asked for, in the order of the registry; all by default.
fn methods(only: &[String], has_teacher: bool) -> Result<Vec<&'static str>> {
    let known = comparable(has_teacher);
    for name in only {
        let missing = learns_from_network(name) && !has_teacher;
        ensure!(!missing, "{name} learns from a frozen network, expected --teacher with its file");
        ensure!(
            known.contains(&name.as_str()),
            "there is no method {name}, expected one of {}",
            known.join(", ")
        );
    }
    let asked = |method: &&str| only.is_empty() || only.iter().any(|name| name == method);
    Ok(known.into_iter().filter(asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_come_in_their_order_and_unknown_ones_are_named() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let only = |asked: &[&str]| methods(&names(asked), false);
        assert_eq!(only(&[]).expect("all"), comparable(false));
        assert!(!comparable(false).contains(&"distill-features") && comparable(true).len() == METHODS.len());
        let taught = methods(&names(&["distill-features"]), true).expect("there is a teacher");
        assert_eq!(taught, ["distill-features"]);
        let error = only(&["distill-features"]).expect_err("no teacher").to_string();
        assert!(error.ends_with("expected --teacher with its file"), "{error}");
        assert_eq!(only(&["byol", "simclr"]).expect("known"), ["simclr", "byol"]);
        let error = only(&["pirl"]).expect_err("unknown").to_string();
        assert!(error.starts_with("there is no method pirl, expected one of simclr, "), "{error}");
    }
}
