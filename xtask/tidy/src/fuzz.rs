//! `cargo xtask fuzz`: searches for inputs that make a parser panic, with libFuzzer.

mod ledger;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use clap::{Args, ValueEnum};

use crate::cargo;
use ledger::{Ledger, Round};

/// Counters that libFuzzer searches by, checks for memory that was not asked for, and the compiler's own checks.
const ALONE_FLAGS: &str = "-Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions -Zsanitizer=address \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// The longest input, in bytes.
const LONGEST: usize = 1 << 16;
/// Seconds of a round, after which the ledger is written.
const ROUND: f64 = 600.0;
/// The folder of the ledgers.
const LEDGERS: &str = "docs/benchmarks/fuzz";
/// What a planted bug says.
const PLANTED: &str = "the planted bug";

/// Options of the search.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fuzz {
    /// What to search; everything by default.
    targets: Vec<Target>,
    /// Minutes of processor time for each target, however busy the machine is.
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u64,
    /// Counts what earlier searches did, and goes on with the inputs that they kept.
    #[arg(long, conflicts_with = "plant")]
    resume: bool,
    /// Plants a bug in every target, which has to be found in the time.
    #[arg(long)]
    plant: bool,
}

/// What reads bytes of unknown origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    Image,
    Tar,
    Safetensors,
    Pth,
    Recipe,
    Metrics,
    Run,
}

/// Folders of the search.
struct Place {
    root: PathBuf,
    /// The target folder of cargo.
    built: PathBuf,
    /// The commit that is searched.
    commit: String,
}

impl Fuzz {
    /// All targets, for `minutes` each.
    pub(crate) fn all(minutes: u64, plant: bool) -> Self {
        Self { targets: Vec::new(), minutes, resume: false, plant }
    }

    /// Builds the targets and runs as many at a time as there are cores.
    ///
    /// # Errors
    /// If a target cannot be built, finds something, or does not find what was planted.
    pub(crate) fn run(&self) -> Result<()> {
        let place = Place::here()?;
        let targets = if self.targets.is_empty() { Target::value_variants() } else { &self.targets[..] };
        let (alone, with_burn): (Vec<Target>, Vec<Target>) =
            targets.iter().copied().partition(|target| target.is_alone());
        self.build(&place, &alone, true)?;
        self.build(&place, &with_burn, false)?;
        let waiting = Mutex::new(targets.iter());
        let failed = Mutex::new(Vec::new());
        let next = || waiting.lock().ok().and_then(|mut targets| targets.next().copied());
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(target) = next() {
                        let found = self.search(&place, target);
                        println!(
                            "{:12} {}",
                            target.name(),
                            found.as_ref().map_or_else(|e| format!("{e:#}"), Clone::clone)
                        );
                        if let (Err(_), Ok(mut failed)) = (found, failed.lock()) {
                            failed.push(target.name());
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap_or_default();
        ensure!(failed.is_empty(), "fuzzing of {} did not end as it should", failed.join(", "));
        Ok(())
    }

    fn build(&self, place: &Place, targets: &[Target], alone: bool) -> Result<()> {
        if targets.is_empty() {
            return Ok(());
        }
        let planted = if self.plant { "libfuzzer,planted-bug" } else { "libfuzzer" };
        let mut build = Command::new(cargo());
        build.current_dir(&place.root).args(["build", "--package", "xtask-fuzz", "--features", planted]);
        build.args(targets.iter().flat_map(|target| ["--bin".to_owned(), target.binary()]));
        if alone {
            // Sanitizers are for nightly compilers only because their options may change.
            build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", ALONE_FLAGS);
            build.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION").arg("--no-default-features");
            build.args(["--target", &host()?, "--target-dir"]).arg(place.alone());
        } else {
            build.env("RUSTC_WORKSPACE_WRAPPER", place.root.join("fuzz/coverage.sh"));
        }
        let status = build.status().context("cargo cannot be started")?;
        ensure!(status.success(), "the fuzz targets cannot be built");
        Ok(())
    }

    /// Runs one target, and says how it went.
    fn search(&self, place: &Place, target: Target) -> Result<String> {
        let name = target.name();
        let folder = place.built.join("fuzz").join(if self.plant { "planted" } else { "found" }).join(&name);
        let (kept, log) = (folder.join("corpus"), folder.join("log.txt"));
        if self.plant {
            // What an earlier search kept would make this one easier.
            let _ = fs::remove_dir_all(&kept);
        }
        fs::create_dir_all(&kept)?;
        let mut ledger = Ledger::open(&self.ledger(place, &folder, &name)?, self.resume)?;
        let mut status = ExitStatus::default();
        while status.success() && ledger.seconds() < (60 * self.minutes) as f64 {
            // Short enough that little is lost if the machine goes away.
            let left = (60.0 * self.minutes as f64 - ledger.seconds()).ceil().min(ROUND) as u64;
            let mut search = Command::new(place.binary(target)?);
            search.arg(&kept).arg(place.root.join(target.corpus()));
            search.arg(format!("-max_total_time={left}")).arg(format!("-max_len={LONGEST}"));
            search.args(["-timeout=25", "-rss_limit_mb=4096", "-print_final_stats=1"]);
            search.arg(format!("-artifact_prefix={}/", folder.display()));
            search.stdout(File::create(folder.join("out.txt"))?).stderr(File::create(&log)?);
            let seconds;
            (status, seconds) =
                run_counted(&mut search).with_context(|| format!("{name} cannot be started"))?;
            let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
            ledger.add(Round { commit: place.commit.clone(), seconds, inputs: executed(&text) })?;
        }
        self.verdict(status, &ledger, &log)
    }

    /// Where the rounds of a target are written: of a search with the sources, for another machine may go on with it.
    fn ledger(&self, place: &Place, folder: &Path, name: &str) -> Result<PathBuf> {
        if self.plant {
            return Ok(folder.join("ledger.txt"));
        }
        let folder = place.root.join(LEDGERS);
        fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{name}.txt")))
    }

    fn verdict(&self, status: ExitStatus, ledger: &Ledger, log: &Path) -> Result<String> {
        let (inputs, minutes) = (ledger.inputs(), ledger.seconds() / 60.0);
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match (self.plant, status.success(), text.contains(PLANTED)) {
            (false, true, _) => Ok(format!("nothing found in {inputs} inputs and {minutes:.0} minutes")),
            (true, false, true) => Ok(format!("found the planted bug after {inputs} inputs")),
            (true, true, _) => {
                bail!("did not find the planted bug in {inputs} inputs and {minutes:.0} minutes")
            }
            _ => bail!("found something after {inputs} inputs, see {}", log.display()),
        }
    }
}

/// Runs a command to its end, and returns the seconds of processor time that it took.
fn run_counted(command: &mut Command) -> Result<(ExitStatus, f64)> {
    let mut child = command.spawn()?;
    let mut seconds = 0.0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, seconds));
        }
        if let Some(found) = ledger::processor_seconds(child.id()) {
            seconds = found;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

impl Target {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn binary(self) -> String {
        format!("fuzz-{}", self.name())
    }

    /// Whether it needs no Burn, so that everything under it can be built anew with a sanitizer.
    fn is_alone(self) -> bool {
        matches!(self, Self::Image | Self::Tar)
    }

    fn corpus(self) -> String {
        match self {
            Self::Image => "crates/ssl-data/tests/fixtures/images".to_owned(),
            _ => format!("fuzz/corpus/{}", self.name()),
        }
    }
}

impl Place {
    fn here() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
        let commit = commit.map(|found| String::from_utf8_lossy(&found.stdout).trim().to_owned());
        Ok(Self {
            root: metadata.workspace_root.into(),
            built: metadata.target_directory.into(),
            commit: commit.unwrap_or_default(),
        })
    }

    fn alone(&self) -> PathBuf {
        self.built.join("fuzz/sanitized")
    }

    fn binary(&self, target: Target) -> Result<PathBuf> {
        let folder = if target.is_alone() { self.alone().join(host()?) } else { self.built.clone() };
        Ok(folder.join("debug").join(target.binary()))
    }
}

/// Inputs that were tried, as the log says.
fn executed(log: &str) -> u64 {
    let stat = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let last =
        log.lines().rev().find_map(|line| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok());
    stat.and_then(|number| number.trim().parse().ok()).or(last).unwrap_or(0)
}

/// The name of this machine's platform.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_number_of_inputs_is_read_from_the_end_of_a_log_or_from_its_last_line() {
        assert_eq!(executed("#2 INITED\n#8 NEW\nstat::number_of_executed_units: 4711\n"), 4711);
        assert_eq!(executed("#2 INITED cov: 3\n#16\tNEW cov: 4\nthread panicked\n"), 16);
        assert_eq!(executed(""), 0);
    }

    #[test]
    fn every_target_has_a_binary_and_a_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).expect("the package of the targets");
        for target in Target::value_variants() {
            assert!(manifest.contains(&format!("name = \"{}\"", target.binary())), "{target:?}");
            assert!(root.join(target.corpus()).is_dir(), "{target:?}");
        }
    }
}
