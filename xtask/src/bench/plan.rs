//! What `burn-ssl plan` says of a run against what the finished run took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::machine;
use super::program::target_folder;

/// How far a plan may be from the run.
const TOLERANCE: f64 = 0.2;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The runs: method, recipe, images and more. Each takes about a minute on two cores.
const CASES: [(&str, &[&str]); 6] = [
    ("simclr/cifar10-quick", &["--limit", "1000"]),
    ("simclr/cifar10-quick", &["--limit", "1000", "--eval-test", "demo:test", "--eval-every", "2"]),
    ("moco-v2/cifar10-quick", &["--limit", "1000"]),
    ("byol/cifar10-quick", &["--limit", "1000", "--batch-size", "64"]),
    ("dino/cifar10-quick", &["--limit", "1000", "--epochs", "5"]),
    ("mae/cifar10-quick", &["--limit", "1000"]),
];

/// Options of `bench plan`.
#[derive(Args)]
pub(crate) struct Plan {
    /// The `burn-ssl` to run [default: the release build].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The images.
    #[arg(long, value_name = "PATH", default_value = "demo:train")]
    data: String,
    /// Only runs whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes the table to docs/benchmarks/<date>-<NAME>.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    archive: Option<String>,
}

/// What was planned and what was taken.
#[derive(Serialize)]
struct Compared {
    run: String,
    planned_mib: f64,
    peak_mib: f64,
    memory_ratio: f64,
    planned_seconds: f64,
    seconds: f64,
    time_ratio: f64,
    measured_steps: u64,
}

impl Plan {
    pub(super) fn run(&self) -> Result<()> {
        let load_before = machine::load_average();
        let program = self.program.clone().unwrap_or_else(|| target_folder().join("release/burn-ssl"));
        let mut compared = Vec::new();
        for (recipe, more) in CASES {
            let name = [&[recipe], more].concat().join(" ").replace("--", "");
            if self.only.as_ref().is_some_and(|text| !name.contains(text)) {
                continue;
            }
            let found = self.compare(&program, name, recipe, more)?;
            eprintln!("memory {:.2}, time {:.2}: {}", found.memory_ratio, found.time_ratio, found.run);
            compared.push(found);
        }
        let table = table(&compared);
        println!("{table}");
        if let Some(name) = &self.archive {
            self.archive(name, &compared, &table, &load_before)?;
        }
        let is_far = |ratio: f64| (ratio - 1.0).abs() > TOLERANCE;
        let far =
            compared.iter().filter(|found| is_far(found.memory_ratio) || is_far(found.time_ratio)).count();
        ensure!(far == 0, "{far} of {} plans are more than 20 % from the run", compared.len());
        Ok(())
    }

    fn compare(&self, program: &Path, run: String, recipe: &str, more: &[&str]) -> Result<Compared> {
        let folder = target_folder().join("bench/plan");
        let folder = folder.to_string_lossy();
        let options = ["--recipe", recipe, "--data", &self.data, "--out", &*folder, "--overwrite"];
        let options = [&options, more].concat();
        let plan = reported(program, "plan", &options)?;
        let start = Instant::now();
        let report = reported(program, "pretrain", &options)?;
        let seconds = start.elapsed().as_secs_f64();
        let number = |of: &Value, key: &str| of[key].as_f64().with_context(|| format!("{run}: no {key}"));
        let (planned_mib, peak_mib) =
            (number(&plan, "peak_mem")? / MEBIBYTE, number(&report, "max_mem")? / MEBIBYTE);
        let planned_seconds = number(&plan, "seconds")?;
        let measured_steps = number(&plan, "measured_steps")? as u64;
        Ok(Compared {
            memory_ratio: planned_mib / peak_mib,
            time_ratio: planned_seconds / seconds,
            run,
            planned_mib,
            peak_mib,
            planned_seconds,
            seconds,
            measured_steps,
        })
    }

    fn archive(&self, name: &str, compared: &[Compared], table: &str, load_before: &str) -> Result<()> {
        let machine = if name.is_empty() { machine::name() } else { name.to_owned() };
        let folder = format!("../docs/benchmarks/{}-{machine}", machine::said("date", &["+%F"]));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let setup = json!({
            "commit": machine::commit(),
            "device": "flex",
            "data": &self.data,
            "load_average_before": load_before,
            "load_average_after": machine::load_average(),
        });
        let raw = serde_json::to_string(&json!({ "setup": setup, "figures": compared }))?;
        fs::write(folder.join("plan.json"), raw + "\n")?;
        let about = "What `burn-ssl plan` says of a run, from a few steps, and what the finished run took: the largest resident \
            set of its process, and the seconds from its start to its end, with evaluations, checkpoints and report.";
        let setup = serde_json::to_string_pretty(&setup)?;
        let page =
            format!("# plan\n\n{about}\n\n{table}\nRaw figures: `plan.json`.\n\n```json\n{setup}\n```\n");
        fs::write(folder.join("plan.md"), page)?;
        println!("\nArchived in {}", folder.display());
        Ok(())
    }
}

/// What a command prints as JSON.
fn reported(program: &Path, command: &str, options: &[&str]) -> Result<Value> {
    let output = Command::new(program).args(["--json", command]).args(options).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command} {options:?}: {}", said.lines().last().unwrap_or_default());
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn table(compared: &[Compared]) -> String {
    let row = |found: &Compared| {
        let Compared {
            run, planned_mib, peak_mib, memory_ratio, planned_seconds, seconds, time_ratio, ..
        } = found;
        format!(
            "| {run} | {planned_mib:.0} | {peak_mib:.0} | {memory_ratio:.2} | {planned_seconds:.1} | {seconds:.1} | {time_ratio:.2} |\n"
        )
    };
    let rows: String = compared.iter().map(row).collect();
    format!(
        "| run | planned, MiB | peak, MiB | ratio | planned, s | took, s | ratio |\n|---|---|---|---|---|---|---|\n{rows}"
    )
}
