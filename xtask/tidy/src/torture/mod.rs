//! `cargo xtask torture`: attacks on the tool, and what came of them.
//!
//! Every attack runs the binary as a child under a limit on memory and time, and says beforehand what its message has to
//! contain. So the program alone decides what a crash, a hang, a silent error and an unclear message is.

mod checkpoints;
mod disks;
mod images;
mod kills;
mod pairs;
mod pickle;
mod png;
mod program;
mod recipes;
mod report;
mod scene;
mod tars;
mod verdict;
mod weights;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use program::Program;
use report::Row;
pub use report::{Finding, Report};
use scene::Scene;
use verdict::Blame;
pub use verdict::Fault;

/// Options of the command.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The tool [default: built in the release profile].
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// Time for all attacks together.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub minutes: f64,
    /// Attempts of each attack, instead of a time.
    #[arg(long, value_name = "N")]
    pub attempts: Option<usize>,
    /// Repeats one attempt of an attack, by its number in the report.
    #[arg(long, value_name = "N", conflicts_with = "attempts")]
    pub attempt: Option<usize>,
    /// Decides order and random choices. Moments at which processes are killed also depend on the machine.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Only these attacks.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<Name>,
    /// Directory for the report and the files of findings.
    #[arg(long, value_name = "DIR", default_value = "target/torture")]
    pub out: PathBuf,
}

impl Options {
    /// All attacks, for some minutes together.
    pub fn lasting(minutes: f64) -> Self {
        let (seed, out) = (0, "target/torture".into());
        Self { program: None, minutes, attempts: None, attempt: None, seed, only: Vec::new(), out }
    }
}

/// The name of an attack.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Processes that are killed, interrupted and terminated, and resumed.
    Kills,
    /// Disks that are full.
    Disks,
    /// Two processes that write to one directory.
    Pairs,
    /// Damaged files of run directories.
    Checkpoints,
    /// Damaged images, and paths that are no images.
    Images,
    /// Damaged archives.
    Tars,
    /// Damaged files of weights.
    Weights,
    /// Recipes with impossible values.
    Recipes,
}

impl Name {
    /// As the command line spells it.
    fn text(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn prepare<'a>(self, scene: &'a Scene) -> Result<Prepared<'a>> {
        Ok(Prepared::Ready(match self {
            Self::Kills => Box::new(kills::Kills::new(scene)?),
            Self::Disks => match disks::Disks::new(scene)? {
                Some(disks) => Box::new(disks),
                None => return Ok(Prepared::Skipped("a tmpfs cannot be mounted (needs root on Linux)")),
            },
            Self::Pairs => Box::new(pairs::Pairs::new(scene)?),
            Self::Checkpoints => Box::new(checkpoints::Checkpoints::new(scene)?),
            Self::Images => Box::new(images::Images::new(scene)?),
            Self::Tars => Box::new(tars::Tars::new(scene)?),
            Self::Weights => Box::new(weights::Weights::new(scene)?),
            Self::Recipes => Box::new(recipes::Recipes::new(scene)?),
        }))
    }
}

/// Random choices of an attempt.
type Chance = ChaCha8Rng;

/// One kind of attack.
trait Attack {
    /// Attempts that together try everything on its list once; those with higher numbers draw at random.
    fn cases(&self) -> usize;

    /// Makes an attempt. Its number and the random choices determine it.
    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>>;
}

enum Prepared<'a> {
    Ready(Box<dyn Attack + 'a>),
    /// Why the attack is impossible on this machine.
    Skipped(&'static str),
}

/// Attacks the tool, and writes the report into [`Options::out`].
///
/// # Errors
/// If the program cannot be started, does not work at all, or a file cannot be written.
pub fn run(options: &Options) -> Result<Report> {
    let program = options.program.clone().context("no program is named")?;
    let scene = Scene::new(Program::new(&program)?, &options.out)?;
    let names = if options.only.is_empty() { Name::value_variants().to_vec() } else { options.only.clone() };
    ensure!(options.attempt.is_none() || names.len() == 1, "--attempt needs one attack: --only NAME");
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let mut report = Report::new(options.seed);
    for (done, name) in names.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(names.len() - done)?;
        let row = attack(*name, &scene, options, share)
            .with_context(|| format!("the attack '{}' cannot be made", name.text()))?;
        eprintln!("{row}");
        report.rows.push(row);
        report.write(&options.out)?;
    }
    Ok(report)
}

/// Makes attempts of one attack for that long, or that many.
fn attack(name: Name, scene: &Scene, options: &Options, share: Duration) -> Result<Row> {
    let start = Instant::now();
    let mut row = Row::new(name);
    let mut attack = match name.prepare(scene)? {
        Prepared::Ready(attack) => attack,
        Prepared::Skipped(why) => return Ok(Row { skipped: Some(why), ..row }),
    };
    for number in order(name, options, attack.cases()) {
        if options.attempts.is_none() && options.attempt.is_none() && start.elapsed() >= share {
            break;
        }
        let mut chance = Chance::seed_from_u64(key(options.seed, name, number));
        scene.clear()?;
        let blames = attack.attempt(number, &mut chance);
        let blames = blames.with_context(|| format!("attempt {number} failed to be made"))?;
        row.attempts += 1;
        if !blames.is_empty() {
            let kept = scene.keep(&format!("{}-{number}", name.text()))?;
            row.findings.extend(blames.into_iter().map(|blame| Finding {
                name,
                number,
                blame,
                kept: kept.clone(),
            }));
        }
    }
    row.cases = attack.cases();
    Ok(row)
}

/// The numbers of the attempts: the cases in an order that the seed decides, then random attempts without end.
fn order(name: Name, options: &Options, cases: usize) -> Box<dyn Iterator<Item = usize>> {
    if let Some(number) = options.attempt {
        return Box::new(std::iter::once(number));
    }
    let mut listed: Vec<usize> = (0..cases).collect();
    listed.shuffle(&mut Chance::seed_from_u64(key(options.seed, name, usize::MAX)));
    let all = listed.into_iter().chain(cases..);
    match options.attempts {
        Some(attempts) => Box::new(all.take(attempts)),
        None => Box::new(all),
    }
}

fn key(seed: u64, name: Name, number: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, name.text(), number).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(attempts: Option<usize>, attempt: Option<usize>) -> Options {
        let (program, only, out) = (None, Vec::new(), PathBuf::new());
        Options { program, minutes: 0.0, attempts, attempt, seed: 3, only, out }
    }

    #[test]
    fn every_case_comes_once_before_random_attempts() {
        let mut first: Vec<usize> = order(Name::Tars, &options(None, None), 20).take(20).collect();
        assert_ne!(first, (0..20).collect::<Vec<_>>(), "in an order of its own");
        first.sort_unstable();
        assert_eq!(first, (0..20).collect::<Vec<_>>());
        assert_eq!(order(Name::Tars, &options(Some(22), None), 20).last(), Some(21));
        assert_eq!(order(Name::Tars, &options(None, Some(7)), 20).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn an_attempt_draws_the_same_whichever_came_before() {
        assert_eq!(key(1, Name::Tars, 5), key(1, Name::Tars, 5));
        assert_ne!(key(1, Name::Tars, 5), key(1, Name::Images, 5));
        assert_ne!(key(1, Name::Tars, 5), key(2, Name::Tars, 5));
    }
}
