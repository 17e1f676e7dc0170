//! `cargo xtask nightly`: what takes too long for CI.

use anyhow::Result;
use clap::Args;

use crate::fuzz::Fuzz;

/// Minutes in which every target has to find the bug that is planted in it.
const PLANTED_MINUTES: u64 = 1;

/// How long.
#[derive(Args)]
pub(crate) struct Nightly {
    /// Minutes for each fuzz target.
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
}

impl Nightly {
    /// # Errors
    /// The first step that fails.
    pub(crate) fn run(&self) -> Result<()> {
        println!("fuzz targets with a planted bug");
        Fuzz::all(PLANTED_MINUTES, true).run()?;
        println!("fuzz targets");
        Fuzz::all(self.minutes, false).run()
    }
}
