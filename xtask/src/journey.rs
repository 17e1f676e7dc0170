//! `cargo xtask journey`: the first hour of new users, with the time and memory of every step.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use xtask_journey::{Length, Settings, Step};

use crate::bench::{build, target_folder};

/// Goes through the first hour of new users, and reports what each step takes.
///
/// The steps are the commands and the code of README.md, docs/guide.md and docs/adding-a-method.md. What they write stays in
/// target/journey.
#[derive(Args)]
pub(crate) struct Journey {
    /// Users to follow [default: all].
    #[arg(value_enum)]
    users: Vec<User>,
    /// Photographs of the engineer, a folder [default: made images].
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// A Python with onnxruntime and Pillow, for the program of the guide [default: that program is left out].
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// Columns of the terminal.
    #[arg(long, value_name = "N", default_value_t = 80)]
    columns: u16,
    /// The `burn-ssl` to call [default: that of the release build, which is made first].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Go a short way, as the tests do.
    #[arg(long)]
    short: bool,
}

/// A new user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum User {
    /// Has 200 photographs without labels.
    Engineer,
    /// Has small images in a folder for each class.
    Researcher,
    /// Starts a package outside of this workspace.
    Programmer,
    /// Follows docs/guide.md, from photographs to a classifier.
    Guide,
}

impl Journey {
    /// Follows the users and prints a table.
    ///
    /// # Errors
    /// If a step does or says something wrong.
    pub(crate) fn run(&self) -> Result<()> {
        let program = match &self.program {
            Some(program) => {
                fs::canonicalize(program).with_context(|| format!("no {}", program.display()))?
            }
            None => build(&["-p", "ssl-cli"], "burn-ssl", &[])?,
        };
        let users = if self.users.is_empty() { User::value_variants() } else { &self.users };
        let mut steps = Vec::new();
        for user in users {
            println!("the {}:", name(*user));
            for step in self.follow(*user, &program)? {
                println!("{}", row(&step));
                steps.push(step);
            }
        }
        let wrong = steps.iter().filter(|step| !step.problems.is_empty());
        wrong.clone().for_each(|step| println!("\n{step}"));
        let count = wrong.count();
        ensure!(count == 0, "{count} of {} steps do or say something wrong", steps.len());
        Ok(())
    }

    fn follow(&self, user: User, program: &Path) -> Result<Vec<Step>> {
        let folder = target_folder().join("journey").join(name(user));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let settings = Settings {
            program: program.to_owned(),
            repository: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            folder: fs::canonicalize(folder)?,
            columns: self.columns,
            length: if self.short { Length::Short } else { Length::Whole },
            photos: self.photos.clone(),
            python: self.python.clone(),
        };
        match user {
            User::Engineer => xtask_journey::engineer(&settings),
            User::Researcher => xtask_journey::researcher(&settings),
            User::Programmer => xtask_journey::programmer(&settings),
            User::Guide => xtask_journey::guide(&settings),
        }
    }
}

fn name(user: User) -> &'static str {
    match user {
        User::Engineer => "engineer",
        User::Researcher => "researcher",
        User::Programmer => "programmer",
        User::Guide => "guide",
    }
}

/// Seconds, memory and command of a step.
fn row(step: &Step) -> String {
    let memory = step.peak.map_or("-".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    let state = if step.problems.is_empty() { "" } else { "   WRONG" };
    format!("{:>8.1} s {memory:>9}  {}{state}", step.time.as_secs_f64(), step.command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_its_seconds_and_its_memory_in_a_row() {
        let mut step = Step {
            command: "burn-ssl knn".into(),
            columns: 80,
            time: std::time::Duration::from_millis(61_240),
            peak: Some(631_000_000),
            problems: Vec::new(),
            rows: Vec::new(),
        };
        assert_eq!(row(&step), "    61.2 s    631 MB  burn-ssl knn");
        (step.peak, step.problems) = (None, vec!["it ended with 1".into()]);
        assert_eq!(row(&step), "    61.2 s         -  burn-ssl knn   WRONG");
    }
}
