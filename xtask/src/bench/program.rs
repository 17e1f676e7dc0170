//! Running the programs that measure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use burn_ssl::prelude::DeviceSpec;
use serde_json::Value;

use super::{Common, machine};

/// An example of a crate, as it runs on some devices.
pub(super) struct Example {
    name: &'static str,
    place: Place,
}

enum Place {
    /// Built here, for all devices in one.
    Built(PathBuf),
    /// Unpacked on a machine without Rust, one for each backend.
    Packed(PathBuf),
}

impl Example {
    /// Builds it with the backends of `devices`, or finds it in the pack.
    pub(super) fn new(
        common: &Common,
        package: &str,
        name: &'static str,
        devices: &[String],
    ) -> Result<Self> {
        let features = devices.iter().map(|device| feature(device)).collect::<Result<BTreeSet<_>>>()?;
        let place = match &common.pack {
            Some(pack) => Place::Packed(pack.join("unpacked")),
            None => {
                Place::Built(build_example(package, name, features.into_iter().filter(|f| *f != "flex"))?)
            }
        };
        Ok(Self { name, place })
    }

    /// Runs it; `device` is one of those that it was made with.
    pub(super) fn measure(&self, device: &str, arguments: &[String]) -> Result<Value> {
        match &self.place {
            Place::Built(program) => measure(program, arguments),
            Place::Packed(folder) => measure(&folder.join(feature(device)?).join(self.name), arguments),
        }
    }
}

/// The cargo feature of a device's backend.
fn feature(device: &str) -> Result<&'static str> {
    Ok(device.parse::<DeviceSpec>()?.feature())
}

/// Builds an example of a crate with some features and returns the program.
fn build_example<'a>(
    package: &str,
    example: &str,
    features: impl Iterator<Item = &'a str>,
) -> Result<PathBuf> {
    let features = features.collect::<Vec<_>>().join(",");
    build(&["-p", package, "--example", example, "--features", &features], example, &[])
}

/// Runs `cargo build --release` and returns the program called `name`.
pub(crate) fn build(arguments: &[&str], name: &str, environment: &[(String, String)]) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--message-format=json"])
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    match (output.status.success(), program) {
        (true, Some(program)) => Ok(program),
        _ => bail!("cargo build {} does not make {name}, see above", arguments.join(" ")),
    }
}

/// Runs a program and returns the JSON object on its last line of output.
fn measure(program: &Path, arguments: &[String]) -> Result<Value> {
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

/// Runs a script of `xtask/baseline`; nothing if there is no baseline.
pub(super) fn measure_baseline(common: &Common, script: &str, arguments: &[String]) -> Result<Option<Value>> {
    let Some(python) = &common.baseline else { return Ok(None) };
    let folder = match &common.pack {
        Some(pack) => pack.join("baseline"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline"),
    };
    let mut all = vec![folder.join(script).display().to_string()];
    all.extend_from_slice(arguments);
    measure(python, &all).map(Some)
}

/// The variants of PyTorch that can run here: none without a baseline, compiled ones only with a compiler.
pub(super) fn variants<'a>(common: &Common, asked: &'a [String]) -> Vec<&'a str> {
    let compiles = machine::has_compiler();
    let usable = |variant: &&str| {
        let usable = compiles || !variant.contains("compile");
        if !usable {
            eprintln!("torch {variant} is left out: there is no C++ compiler");
        }
        usable
    };
    let asked = if common.baseline.is_some() { asked } else { &[] };
    asked.iter().map(String::as_str).filter(usable).collect()
}

/// Text arguments from anything that displays.
pub(super) fn arguments(pairs: &[(&str, &dyn std::fmt::Display)]) -> Vec<String> {
    pairs.iter().flat_map(|(flag, value)| [format!("--{flag}"), value.to_string()]).collect()
}

/// Numbers of a JSON array.
pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|values| values.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
}
