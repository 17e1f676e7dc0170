//! A step of a journey: a command, and what it has to do and to say.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::terminal::{Ended, Terminal};

/// No step may take more memory, in bytes: 4 GB.
const MEMORY: u64 = 4_000_000_000;

/// What a call of the tool says, wherever lines break. Before the first step of a training: recipe and why, length, device,
/// threads and memory; at the end the memory and whether it learned anything. Every other command names its encoder.
const SAYS: [(&str, &[&str]); 14] = [
    (
        "plan",
        &["images: ", "recipe: ", " steps of ", "measured in ", "memory: ", " images/s, ", "end: ", "disk: "],
    ),
    ("pretrain --resume", &["the run is finished: all "]),
    (
        "pretrain",
        &[
            "images: ",
            "recipe: ",
            " parameters and ",
            " steps of ",
            "on flex: the CPU, ",
            " threads",
            "expected memory: ",
            "max mem ",
            "learned: ",
            "views found ",
            "RankMe ",
        ],
    ),
    ("preview", &["views in ", "burn-ssl pretrain --method "]),
    ("export --run tuned", &["encoder: finetune, resnet18", " tensors and a classifier of ", "import "]),
    ("export", &["encoder: simclr, resnet18", " tensors in ", "import "]),
    ("embed", &["encoder: simclr, resnet18", " features each: "]),
    ("similar", &["encoder: simclr, resnet18", "cat.jpg"]),
    ("knn", &["encoder: simclr, resnet18", "k-NN accuracy on "]),
    ("linear", &["encoder: simclr, resnet18", "linear accuracy on "]),
    ("finetune", &["encoder: simclr, resnet18", "accuracy on ", "classifier: "]),
    ("dedup", &["encoder: simclr, resnet18", " images are near-duplicates of others"]),
    ("classify", &["classifier: resnet18 of ", " images: "]),
    ("compare", &["differ in the seed alone", "curves: "]),
];

/// What no step says.
const NEVER: [&str; 4] = ["error:", "panicked", "RUST_BACKTRACE", "NaN"];

/// Extensions of the files that the tool announces.
const EXTENSIONS: [&str; 8] = [".safetensors", ".npy", ".csv", ".json", ".jsonl", ".toml", ".png", ".html"];

/// A step that was taken.
#[derive(Debug)]
pub struct Step {
    /// The command.
    pub command: String,
    /// Columns of the terminal.
    pub columns: u16,
    /// How long it took.
    pub time: Duration,
    /// The largest resident set of its process in bytes, where the system tells.
    pub peak: Option<u64>,
    /// What it did or said wrong, a sentence each.
    pub problems: Vec<String>,
    /// What was on the screen at the end.
    pub rows: Vec<String>,
}

impl Step {
    /// Calls the tool in a folder.
    pub(crate) fn of_tool(program: &Path, folder: &Path, columns: u16, line: &str) -> Self {
        let arguments: Vec<&str> = line.split(' ').skip(1).collect();
        let mut command = Command::new(program);
        command.args(&arguments).current_dir(folder).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        let mut step = Self::take(columns, line, command);
        let kind = SAYS.iter().find(|(start, _)| arguments.join(" ").starts_with(start));
        step.check(folder, &arguments, kind.map_or(&[], |(_, says)| says));
        let text = step.text();
        if arguments.contains(&"--eval-test") && !(text.contains("k-NN accuracy: ") && text.contains(" ± "))
        {
            step.problems.push("it does not say the k-NN accuracy with its standard error".to_owned());
        }
        let chooses = arguments.starts_with(&["pretrain", "--method"]);
        if chooses && !text.split("recipe: ").nth(1).is_some_and(|why| why.contains(", for ")) {
            step.problems.push("it does not say why it chose this recipe".to_owned());
        }
        step
    }

    /// Checks that a command said some things, and wrote the files that it was told to or says that it has written.
    pub(crate) fn check(&mut self, folder: &Path, arguments: &[&str], expected: &[&str]) {
        let text = self.text();
        let missing = expected.iter().filter(|wanted| !text.contains(*wanted));
        self.problems.extend(missing.map(|wanted| format!("it does not say `{wanted}`")));
        self.problems.extend(missing_files(folder, arguments, &text));
    }

    /// Runs a command and checks what holds for every one.
    pub(crate) fn take(columns: u16, line: &str, command: Command) -> Self {
        let Ended { status, rows, broken, time, peak } = Terminal::start(columns, command).end();
        let mut step = Self { command: line.to_owned(), columns, time, peak, problems: Vec::new(), rows };
        let text = step.text();
        if !status.success() {
            step.problems.push(format!("it ended with {status}"));
        }
        let bad = NEVER.iter().filter(|bad| text.contains(*bad));
        step.problems.extend(bad.map(|bad| format!("it says `{bad}`")));
        step.problems.extend(broken.iter().map(|row| format!("wider than {columns} columns: {row}")));
        if let Some(bytes) = peak.filter(|bytes| *bytes > MEMORY) {
            step.problems.push(format!("it took {:.1} GB, expected at most 4", bytes as f64 / 1e9));
        }
        step
    }

    /// The words of the screen, wherever its lines break.
    pub(crate) fn text(&self) -> String {
        self.rows.iter().flat_map(|row| row.split_whitespace()).collect::<Vec<_>>().join(" ") + " "
    }
}

/// The command, its screen and what is wrong.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}\n{}", self.command, self.rows.join("\n"))?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n=> {problem}"))
    }
}

/// The files that a command was told to write, or says that it has written, and that are not there. A run ends with a page.
fn missing_files(folder: &Path, arguments: &[&str], text: &str) -> Vec<String> {
    let told = arguments.windows(2).filter(|pair| ["--out", "--plot"].contains(&pair[0])).map(|pair| pair[1]);
    let runs = told.clone().filter(|_| arguments.first() == Some(&"pretrain"));
    let pages: Vec<String> = runs.map(|run| format!("{run}/report.html")).collect();
    let words = text.split(|c: char| !(c.is_alphanumeric() || "-_./".contains(c)));
    let words = words.map(|word| word.trim_end_matches('.'));
    let named =
        words.filter(|word| EXTENSIONS.iter().any(|end| word.len() > end.len() && word.ends_with(end)));
    let wanted = told.chain(pages.iter().map(String::as_str)).chain(named);
    let missing = wanted.filter(|file| !folder.join(file).exists());
    missing.map(|file| format!("there is no {file}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(columns: u16, script: &str) -> Step {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Step::take(columns, "sh", command)
    }

    #[test]
    fn a_failure_an_error_and_a_wide_line_are_problems() {
        assert!(shell(20, "echo fine").problems.is_empty());
        assert_eq!(shell(20, "exit 2").problems, ["it ended with exit status: 2"]);
        assert_eq!(shell(20, "echo error: no").problems, ["it says `error:`"]);
        let wide = shell(8, "echo 0123456789").problems;
        assert_eq!(wide, ["wider than 8 columns: 01234567"]);
        assert_eq!(shell(20, "echo NaN").to_string(), "$ sh\nNaN\n=> it says `NaN`");
    }

    #[test]
    fn files_that_are_announced_must_exist() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("a.csv"), "").expect("writable");
        let missing = |arguments: &[&str], text| missing_files(folder.path(), arguments, text);
        assert!(missing(&["embed", "--out", "a.csv"], "names: a.csv, 3 images").is_empty());
        assert_eq!(
            missing(&["--out", "b"], "see (a.csv) and run/c.toml."),
            ["there is no b", "there is no run/c.toml"]
        );
        assert_eq!(missing(&["embed", "--out", "a.csv"], "page: run/a.html"), ["there is no run/a.html"]);
        std::fs::create_dir(folder.path().join("run")).expect("writable");
        let pretrain = || missing(&["pretrain", "--out", "run"], "step 3");
        assert_eq!(pretrain(), ["there is no run/report.html"]);
        std::fs::write(folder.path().join("run/report.html"), "").expect("writable");
        assert!(pretrain().is_empty());
    }

    #[test]
    fn what_a_command_does_not_say_is_a_problem() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let step = Step::of_tool(Path::new("echo"), folder.path(), 80, "burn-ssl knn --run run");
        assert_eq!(step.problems.len(), 2, "{:?}", step.problems);
    }
}
