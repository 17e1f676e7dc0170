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
use burn_ssl::registry::{METHODS, MethodInfo, needs};
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

/// The methods that learn from images alone. What one learns from a frozen network is above all a matter of that network.
fn comparable() -> Vec<&'static str> {
    let learns_from_images = |method: &&MethodInfo| needs(method.name).is_ok_and(|needs| !needs.teacher);
    METHODS.iter().filter(learns_from_images).map(|method| method.name).collect()
}

/// The methods asked for, in the order of the registry; all by default.
fn methods(only: &[String]) -> Result<Vec<&'static str>> {
    let known = comparable();
    for name in only {
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
        let only = |names: &[&str]| methods(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        assert_eq!(only(&[]).expect("all"), comparable());
        assert!(!comparable().contains(&"distill-features") && comparable().len() >= METHODS.len() - 1);
        assert_eq!(only(&["byol", "simclr"]).expect("known"), ["simclr", "byol"]);
        let error = only(&["pirl"]).expect_err("unknown").to_string();
        assert!(error.starts_with("there is no method pirl, expected one of simclr, "), "{error}");
    }
}
