//! Running the programs that measure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Builds an example of a crate in release mode and returns the program.
pub(super) fn build_example(package: &str, example: &str, features: &[String]) -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "-p", package, "--example", example, "--message-format=json"]);
    if !features.is_empty() {
        build.args(["--features", &features.join(",")]);
    }
    let output = build.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == example)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    match (output.status.success(), program) {
        (true, Some(program)) => Ok(program),
        _ => bail!("example {example} of {package} does not build, see above"),
    }
}

/// Runs a program and returns the JSON object on its last line of output.
pub(super) fn measure(program: &Path, arguments: &[String]) -> Result<Value> {
    let name = program.display();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} {} failed: {}", arguments.join(" "), said.trim());
    }
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{name} printed '{last}', expected a JSON object"))
}

/// Runs a script of `xtask/baseline`.
pub(super) fn measure_baseline(python: &Path, script: &str, arguments: &[String]) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline").join(script);
    let mut all = vec![script.display().to_string()];
    all.extend_from_slice(arguments);
    measure(python, &all)
}

/// Text arguments from anything that displays.
pub(super) fn arguments(pairs: &[(&str, &dyn std::fmt::Display)]) -> Vec<String> {
    pairs.iter().flat_map(|(flag, value)| [format!("--{flag}"), value.to_string()]).collect()
}

/// Numbers of a JSON array.
pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|values| values.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
}
