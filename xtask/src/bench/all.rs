//! Every benchmark in a row.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Command, FromArgMatches, Subcommand};

use super::{Bench, Common, What};

/// Options of `bench all`.
#[derive(Args)]
pub(crate) struct All {
    #[command(flatten)]
    common: Common,
    /// Images of 32 pixels for `loader`: a tar or a folder.
    #[arg(long, value_name = "PATH")]
    small: Option<PathBuf>,
    /// Photographs for `loader`.
    #[arg(long, value_name = "PATH")]
    large: Option<PathBuf>,
}

impl All {
    pub(super) fn run(&self) -> Result<()> {
        for name in ["augment", "step", "loader", "loss", "knn"] {
            println!("\n## {name}\n");
            super::run(&self.bench(name)?)?;
        }
        Ok(())
    }

    /// A benchmark as its own command line would make it, so that its defaults are written once.
    fn bench(&self, name: &str) -> Result<Bench> {
        let mut words: Vec<OsString> = vec!["bench".into(), name.into()];
        let mut add = |flag: &str, value: Option<&Path>| {
            words.extend(value.into_iter().flat_map(|value| [flag.into(), value.into()]));
        };
        add("--rounds", Some(Path::new(&self.common.rounds.to_string())));
        add("--baseline", self.common.baseline.as_deref());
        add("--pack", self.common.pack.as_deref());
        add("--tag", self.common.tag.as_deref().map(Path::new));
        add("--archive", self.common.archive.as_deref().map(Path::new));
        if name == "loader" {
            add("--small", self.small.as_deref());
            add("--large", self.large.as_deref());
        }
        let command = What::augment_subcommands(Command::new("bench"));
        Ok(Bench { what: What::from_arg_matches(&command.try_get_matches_from(words)?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_takes_the_common_options() {
        let common = Common {
            baseline: Some("python".into()),
            rounds: 3,
            archive: Some(String::new()),
            tag: None,
            pack: None,
        };
        let all = All { common, small: Some("a.tar".into()), large: None };
        let bench = all.bench("loader").expect("a command line that the parser takes");
        let What::Loader(loader) = bench.what else { panic!("another benchmark than asked for") };
        assert_eq!((loader.common.rounds, loader.small), (3, Some(PathBuf::from("a.tar"))));
        assert!(loader.common.archive.is_some());
        for name in ["augment", "step", "loss", "knn"] {
            assert!(all.bench(name).is_ok(), "{name}");
        }
    }
}
