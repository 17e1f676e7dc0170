//! The memory that a run expects against the peak that it reaches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use burn_ssl::registry::{METHODS, needs};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::machine;
use super::program::target_folder;

/// Steps of a run: the second finds the memory of the first, and the last writes a checkpoint.
const STEPS: &str = "3";
/// How far an estimate may be from the peak.
const TOLERANCE: f64 = 0.2;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Options of `bench memory`.
#[derive(Args)]
pub(crate) struct Memory {
    /// The `burn-ssl` to run [default: the debug build; memory is the same in both].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Only runs whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes the table to docs/benchmarks/<date>-<NAME>.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    archive: Option<String>,
}

/// A run of three steps.
struct Case {
    name: String,
    arguments: Vec<String>,
}

/// What a run expected and reached, in MiB.
#[derive(Serialize)]
struct Measured {
    run: String,
    expected: f64,
    peak: f64,
    ratio: f64,
}

impl Memory {
    pub(super) fn run(&self) -> Result<()> {
        let program = self.program.clone().unwrap_or_else(|| target_folder().join("debug/burn-ssl"));
        let asked = |case: &Case| self.only.as_ref().is_none_or(|text| case.name.contains(text));
        let mut measured = Vec::new();
        for case in cases().into_iter().filter(asked) {
            let found = case.measure(&program)?;
            eprintln!("{:.2} {}", found.ratio, found.run);
            measured.push(found);
        }
        let table = table(&measured);
        println!("{table}");
        if let Some(name) = &self.archive {
            archive(name, &measured, &table)?;
        }
        let far = measured.iter().filter(|found| (found.ratio - 1.0).abs() > TOLERANCE).count();
        ensure!(far == 0, "{far} of {} estimates are more than 20 % from the peak", measured.len());
        Ok(())
    }
}

/// Every method on a ViT, and on a ResNet if it takes one; other sizes of both, and ConvNeXts, with SimCLR. Of a method that learns
/// from a frozen network, memory is above all that of a file.
fn cases() -> Vec<Case> {
    let of_methods = METHODS.iter().filter(|method| !has_teacher(method.name)).flat_map(|method| {
        let name = method.name;
        let resnet = takes_resnets(name).then(|| Case::new(name, "resnet18", "16", 64, &["--width", "16"]));
        // SwAV refuses more prototypes than it has embeddings to share out.
        let prototypes: &[&str] =
            if name == "swav" { &["--set", "method_options.prototypes=16"] } else { &[] };
        let vit =
            Case::new(name, "vit-tiny", "", 16, &[&["--set", "encoder.patch_size=4"], prototypes].concat());
        resnet.into_iter().chain([vit])
    });
    let chunk = ["--width", "16", "--set", "train.embed_chunk=32"];
    let accumulate = ["--width", "16", "--set", "train.accumulate=4"];
    let large = |size: &'static str| ["--image-size", size, "--stem", "cifar"];
    let photo = ["--image-size", "96", "--stem", "imagenet"];
    let patches = |size: &'static str, patch: &'static str| ["--image-size", size, "--set", patch];
    let others = [
        Case::new("simclr", "resnet18", "8", 16, &["--width", "8"]),
        Case::new("simclr", "resnet18", "8", 256, &["--width", "8"]),
        Case::new("simclr", "resnet18", "16", 256, &chunk),
        Case::new("simclr", "resnet18", "16", 256, &accumulate),
        Case::new("simclr", "resnet18", "64", 2, &[]),
        Case::new("simclr", "resnet18", "64", 64, &[]),
        Case::new("byol", "resnet18", "64", 32, &[]),
        Case::new("simclr", "resnet50", "64", 8, &large("64")),
        Case::new("simclr", "resnet50", "64", 8, &photo),
        Case::new("simclr", "vit-tiny", "", 64, &patches("64", "encoder.patch_size=16")),
        Case::new("simclr", "vit-tiny", "", 8, &patches("64", "encoder.patch_size=4")),
        Case::new("simclr", "vit-tiny", "", 4, &patches("224", "encoder.patch_size=16")),
        Case::new("simclr", "convnext-tiny", "", 64, &["--set", "encoder.dims=[16, 32, 64, 128]"]),
        Case::new("simclr", "convnext-tiny", "", 4, &patches("224", "encoder.drop_path=0.1")),
    ];
    of_methods.chain(others).collect()
}

fn takes_resnets(method: &str) -> bool {
    needs(method).is_ok_and(|needs| !needs.tokens)
}

fn has_teacher(method: &str) -> bool {
    needs(method).is_ok_and(|needs| needs.teacher)
}

impl Case {
    fn new(method: &str, model: &str, width: &str, batch: usize, more: &[&str]) -> Self {
        let variant = if method == "moco-v3" && model == "vit-tiny" { "cifar10-vit" } else { "cifar10" };
        let (recipe, batch) = (format!("{method}/{variant}"), batch.to_string());
        let limit = batch.parse::<usize>().map_or(64, |batch| batch.max(64)).to_string();
        let fixed = ["pretrain", "--data", "demo:train", "--max-steps", STEPS, "--recipe", &recipe];
        let given = ["--model", model, "--batch-size", &batch, "--limit", &limit];
        let all = fixed.iter().chain(&given).chain(more).map(|word| (*word).to_owned()).collect();
        let named = if more.first() == Some(&"--width") { &more[2..] } else { more };
        let rest = named.iter().filter(|word| **word != "--set").map(|word| word.trim_start_matches("--"));
        let words = [method, model, width, "batch", &batch].into_iter().chain(rest);
        let name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        Self { name, arguments: all }
    }

    fn measure(&self, program: &Path) -> Result<Measured> {
        let folder = target_folder().join("bench/memory");
        let mut command = Command::new(program);
        command.arg("--json").args(&self.arguments).arg("--overwrite").arg("--out").arg(&folder);
        let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", self.name, said.lines().last().unwrap_or_default());
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let mebibytes = |key: &str| report[key].as_f64().map(|bytes| bytes / MEBIBYTE);
        let expected = mebibytes("expected_mem").context("the run expects no memory")?;
        let peak = mebibytes("max_mem").context("the system does not tell the peak: expected Linux")?;
        Ok(Measured { run: self.name.clone(), expected, peak, ratio: expected / peak })
    }
}

fn table(measured: &[Measured]) -> String {
    let row = |found: &Measured| {
        let Measured { run, expected, peak, ratio } = found;
        format!("| {run} | {expected:.0} | {peak:.0} | {ratio:.2} |\n")
    };
    let rows: String = measured.iter().map(row).collect();
    format!("| run | expected, MiB | peak, MiB | ratio |\n|---|---|---|---|\n{rows}")
}

fn archive(name: &str, measured: &[Measured], table: &str) -> Result<()> {
    let machine = if name.is_empty() { machine::name() } else { name.to_owned() };
    let folder = format!("../docs/benchmarks/{}-{machine}", machine::said("date", &["+%F"]));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let setup =
        json!({ "commit": machine::commit(), "steps": STEPS, "device": "flex", "data": "demo:train" });
    let raw = serde_json::to_string(&json!({ "setup": setup, "figures": measured }))?;
    fs::write(folder.join("memory.json"), raw + "\n")?;
    let about = "Runs of three steps on `flex` and rendered images: the memory that `pretrain` expects before the \
        first step, and the largest resident set of its process. Widths are those of a ResNet.";
    let setup = serde_json::to_string_pretty(&setup)?;
    let page =
        format!("# memory\n\n{about}\n\n{table}\nRaw figures: `memory.json`.\n\n```json\n{setup}\n```\n");
    fs::write(folder.join("memory.md"), page)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_runs_on_both_kinds_of_encoder_under_names_of_their_own() {
        let names: Vec<_> = cases().into_iter().map(|case| case.name).collect();
        for method in METHODS.iter().filter(|method| !has_teacher(method.name)) {
            let models = ["resnet18", "vit-tiny"].into_iter();
            for model in models.filter(|model| *model != "resnet18" || takes_resnets(method.name)) {
                assert!(names.iter().any(|name| name.starts_with(&format!("{} {model}", method.name))));
            }
        }
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
