//! All benchmarks, one after the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// Our devices for `step` and `embed`; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    devices: Vec<String>,
}

/// The benchmarks, and the approximate seconds of a round with all rivals on two idle cores. From the third round on, fewer
/// may be left.
const ROUNDS: [(&str, u32); 7] = [
    ("step", 1000),
    ("embed", 400),
    ("loss", 45),
    ("tokens", 30),
    ("knn", 25),
    ("augment", 40),
    ("loader", 95),
];

/// Approximate seconds that `torch.compile` takes in the first round, with an empty cache: of nine steps, two encoders and the loss.
const FIRST_COMPILATION: u32 = 800;

impl All {
    pub(super) fn run(&self) -> Result<()> {
        let started = Instant::now();
        println!("{}", self.estimate());
        for (name, _) in ROUNDS {
            println!("\n## {name}\n");
            super::run(&self.bench(name)?)?;
            println!("\nAfter {name}: {:.1} minutes so far", started.elapsed().as_secs_f64() / 60.0);
        }
        Ok(())
    }

    fn estimate(&self) -> String {
        let rounds = self.common.rounds * ROUNDS.iter().map(|(_, seconds)| seconds).sum::<u32>();
        let minutes = (rounds + FIRST_COMPILATION).div_ceil(60);
        format!(
            "At most about {minutes} minutes against PyTorch on two idle cores, plus the time of the builds"
        )
    }

    /// A benchmark parsed from its own command line, so that its defaults are written once.
    fn bench(&self, name: &str) -> Result<Bench> {
        let mut words: Vec<OsString> = vec!["bench".into(), name.into()];
        let mut add = |flag: &str, value: Option<&Path>| {
            words.extend(value.into_iter().flat_map(|value| [flag.into(), value.into()]));
        };
        let common = &self.common;
        add("--rounds", Some(Path::new(&common.rounds.to_string())));
        add("--baseline", common.baseline.as_deref());
        add("--pack", common.pack.as_deref());
        add("--tag", common.tag.as_deref().map(Path::new));
        add("--archive", common.archive.as_deref().map(Path::new));
        add("--resume", common.resume.as_deref());
        add("--cap", common.cap.map(|cap| Path::new(cap.word())));
        match name {
            "loader" => {
                add("--small", self.small.as_deref());
                add("--large", self.large.as_deref());
            }
            "step" | "embed" => {
                add("--devices", Some(Path::new(&self.devices.join(","))));
                add("--rows", Some(Path::new("all")));
            }
            _ => {}
        }
        words.extend(common.no_build.then(|| "--no-build".into()));
        let command = What::augment_subcommands(Command::new("bench"));
        Ok(Bench { what: What::from_arg_matches(&command.try_get_matches_from(words)?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::environment::Cap;
    use super::*;

    #[test]
    fn every_benchmark_takes_the_common_options() {
        let common = Common {
            baseline: Some("python".into()),
            rounds: 3,
            archive: Some(String::new()),
            resume: None,
            tag: None,
            pack: None,
            cap: Some(Cap::Avx2),
            no_build: true,
        };
        let devices = || vec!["flex".to_owned(), "tch".to_owned()];
        let all = All { common, small: Some("a.tar".into()), large: None, devices: devices() };
        let bench = all.bench("loader").expect("a command line that the parser takes");
        let What::Loader(loader) = bench.what else { panic!("another benchmark than asked for") };
        assert_eq!((loader.common.rounds, loader.small), (3, Some(PathBuf::from("a.tar"))));
        assert_eq!((loader.common.cap, loader.common.no_build), (Some(Cap::Avx2), true));
        assert!(loader.common.archive.is_some());
        for (name, _) in ROUNDS {
            assert!(all.bench(name).is_ok(), "{name}");
        }
        let What::Step(step) = all.bench("step").expect("a command line that the parser takes").what else {
            panic!("another benchmark than asked for")
        };
        assert_eq!((step.devices, step.rows), (devices(), vec!["all".to_owned()]));
        let What::Embed(embed) = all.bench("embed").expect("a command line that the parser takes").what
        else {
            panic!("another benchmark than asked for")
        };
        assert_eq!((embed.devices, embed.rows), (devices(), vec!["all".to_owned()]));
    }
}
