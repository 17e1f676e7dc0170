//! The programs of the two sides, and one run of each.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::labels::Finetuning;
use super::places;
use crate::bench::{arguments, build, machine};

/// The side whose program trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// `burn-ssl` on the device `flex`.
    Ours,
    /// `xtask/baseline/accuracy.py`.
    Torch,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Torch => "torch",
        }
    }
}

/// Options of both phases.
#[derive(Args)]
pub(super) struct Runs {
    /// Tar of training images, <class>/<name>.jpg, with the classes in turn.
    #[arg(long, value_name = "TAR")]
    pub(super) train: PathBuf,
    /// What `distill-features` learns from, which is left out otherwise: an `encoder.safetensors` of burn-ssl.
    #[arg(long, value_name = "FILE")]
    pub(super) teacher: Option<PathBuf>,
    /// Only these methods.
    #[arg(long, value_name = "METHODS", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// Runs in parallel, each with one training thread and one that makes views.
    #[arg(long, value_name = "N", default_value = "2")]
    pub(super) jobs: NonZeroUsize,
    /// A burn-ssl that is already built, to be used instead of building one.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// The commit that it was built from [default: that of this checkout].
    #[arg(long, value_name = "COMMIT", requires = "program")]
    commit: Option<String>,
}

impl Runs {
    /// Our program and its commit.
    pub(super) fn program(&self) -> Result<(PathBuf, String)> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => build(&["-p", "ssl-cli", "--bin", "burn-ssl"], "burn-ssl", &[])?,
        };
        Ok((program, self.commit.clone().unwrap_or_else(machine::commit)))
    }
}

/// One training and its evaluation.
pub(super) struct Job<'a> {
    /// The recipe's file for this side.
    pub(super) recipe: &'a Path,
    pub(super) seed: u64,
    pub(super) train: &'a Path,
    /// Images to train on, the first ones.
    pub(super) images: usize,
    /// The images that are classified.
    pub(super) queries: &'a Path,
    pub(super) query_limit: usize,
    /// How the network is fine-tuned afterwards, if it is.
    pub(super) finetuning: Option<&'a Finetuning>,
    /// Whether the network is a ViT.
    pub(super) is_vit: bool,
}

/// The thread of a run of ours.
const ONE_THREAD: [(&str, &str); 1] = [("RAYON_NUM_THREADS", "1")];

/// The output of a program, and its command.
pub(super) struct Finished {
    pub(super) command: String,
    pub(super) report: Value,
}

impl Job<'_> {
    /// Trains with our program; an interrupted run resumes from its checkpoint.
    pub(super) fn ours(&self, program: &Path) -> Result<Finished> {
        let out = places::scratch("out")?.join(self.name());
        let text = out.display().to_string();
        let mut arguments = words("--json pretrain --recipe");
        arguments.push(self.recipe.display().to_string());
        arguments.extend(self.options());
        arguments.extend(words("--workers 1 --out"));
        arguments.push(text.clone());
        let all = arguments.clone();
        if has_checkpoint(&out) {
            arguments = words("--json pretrain --resume --out");
            arguments.push(text);
        } else {
            arguments.push("--overwrite".to_owned());
        }
        let report = self.run(program, &arguments, &ONE_THREAD)?;
        let mut finished = Finished { command: command(program, &all, &ONE_THREAD), report };
        self.finetune(program, &out, &mut finished)?;
        fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        Ok(finished)
    }

    /// Fine-tunes the network of a run of ours, without and with its training, and adds the accuracies to the report.
    fn finetune(&self, program: &Path, run: &Path, finished: &mut Finished) -> Result<()> {
        let Some(finetuning) = self.finetuning else { return Ok(()) };
        let tuned = run.with_extension("tuned");
        for (name, pretrained) in [("finetune_top1_untrained", false), ("finetune_top1", true)] {
            let mut arguments = words("--json finetune --run");
            arguments.push(run.display().to_string());
            arguments.extend((!pretrained).then(|| "--untrained".to_owned()));
            arguments.extend(finetuning.options(pretrained, self.is_vit));
            arguments.extend([format!("--seed={}", self.seed), "--workers=1".to_owned()]);
            arguments.extend([format!("--out={}", tuned.display()), "--overwrite".to_owned()]);
            let report = self.run(program, &arguments, &ONE_THREAD)?;
            finished.report[name] = report["finetune_top1"].clone();
            finished.command += &format!("; {}", command(program, &arguments, &ONE_THREAD));
        }
        fs::remove_dir_all(&tuned).with_context(|| format!("cannot remove {}", tuned.display()))
    }

    /// Writes the weights that our run of this seed starts from, and returns the file.
    pub(super) fn start(&self, first_steps: &Path) -> Result<PathBuf> {
        let out = places::scratch("starts")?.join(self.name()).with_extension("safetensors");
        let limit = format!("data.limit={}", self.images);
        let [recipe, data, to] = [self.recipe, self.train, &out].map(Path::display);
        let words = arguments(&[
            ("recipe", &recipe),
            ("data", &data),
            ("set", &limit),
            ("seed", &self.seed),
            ("steps", &1),
            ("out", &to),
        ]);
        let output = Command::new(first_steps).args(words).envs(ONE_THREAD).output();
        let output = output.with_context(|| format!("{} cannot be started", first_steps.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed: {}", first_steps.display(), said.trim_end());
        Ok(out)
    }

    /// Trains in PyTorch, from the weights in `start` if there are some.
    pub(super) fn torch(&self, python: &Path, start: Option<&Path>) -> Result<Finished> {
        let script = places::root().join("xtask/baseline/accuracy.py");
        let mut arguments = vec![script.display().to_string(), "--recipe-json".to_owned()];
        arguments.push(self.recipe.display().to_string());
        arguments.extend(self.options());
        arguments.extend(start.map(|start| format!("--start={}", start.display())));
        arguments.extend(words("--threads 1 --workers 1"));
        if self.finetuning.is_some() {
            arguments.extend(["--finetune".to_owned(), Finetuning::path().display().to_string()]);
        }
        let environment = [("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "PASSIVE")];
        let report = self.run(python, &arguments, &environment)?;
        Ok(Finished { command: command(python, &arguments, &environment), report })
    }

    /// The name of the run directory and the log, unique for each recipe, seed and set of queries.
    fn name(&self) -> String {
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        format!("{}-{}-{}", stem(self.recipe), stem(self.queries), self.seed)
    }

    /// The options that both programs have.
    fn options(&self) -> Vec<String> {
        let numbers = [self.images as u64, self.query_limit as u64, self.seed];
        let [limit, query_limit, seed] = numbers.map(|number| number.to_string());
        let [train, queries] = [self.train, self.queries].map(|path| path.display().to_string());
        let options = [
            ["--data".to_owned(), train],
            ["--limit".to_owned(), limit],
            ["--eval-test".to_owned(), queries],
            ["--eval-limit".to_owned(), query_limit],
            ["--seed".to_owned(), seed],
        ];
        options.concat()
    }

    /// Runs a program with its progress in a log, and returns the JSON object on the last line of its output.
    fn run(&self, program: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Result<Value> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = places::scratch("logs")?.join(format!("{name}-{}.log", self.name()));
        let output = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(File::create(&log)?)
            .output()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last = said.trim().lines().last().unwrap_or_default();
            bail!("{name} ended with {} ({}): {last}", output.status, log.display());
        }
        let last = text.trim().lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("{name} printed '{last}', expected a JSON object"))
    }
}

/// Whether a run directory holds something to resume from.
fn has_checkpoint(out: &Path) -> bool {
    ["last", "last.old"].iter().any(|name| out.join("checkpoints").join(name).join("meta.json").is_file())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A command as one would type it.
fn command(program: &Path, arguments: &[String], environment: &[(&str, &str)]) -> String {
    let mut words: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.push(program.display().to_string());
    words.extend_from_slice(arguments);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(recipe: &'a Path, queries: &'a Path) -> Job<'a> {
        let train = Path::new("train.tar");
        let (finetuning, is_vit) = (None, false);
        Job { recipe, seed: 7, train, images: 5000, queries, query_limit: 2000, finetuning, is_vit }
    }

    #[test]
    fn both_sides_get_the_same_images_and_seed() {
        let options = job(Path::new("simclr-1.toml"), Path::new("test.tar")).options().join(" ");
        let expected = "--data train.tar --limit 5000 --eval-test test.tar --eval-limit 2000 --seed 7";
        assert_eq!(options, expected);
    }

    #[test]
    fn runs_of_other_recipes_and_queries_have_other_folders() {
        let name = |recipe: &str, queries: &str| job(Path::new(recipe), Path::new(queries)).name();
        assert_eq!(name("a/simclr-1.toml", "b/test.tar"), "simclr-1-test-7");
        assert_ne!(name("a/simclr-1.toml", "b/test.tar"), name("a/simclr-2.toml", "b/test.tar"));
        assert_ne!(name("a/simclr-1.toml", "b/test.tar"), name("a/simclr-1.toml", "b/validation.tar"));
    }

    #[test]
    fn a_checkpoint_is_whole_when_it_says_what_it_is() {
        let out = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(out.path().join("checkpoints/last")).expect("made");
        assert!(!has_checkpoint(out.path()));
        fs::write(out.path().join("checkpoints/last/meta.json"), "{}").expect("written");
        assert!(has_checkpoint(out.path()));
    }
}
