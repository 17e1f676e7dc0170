//! Runs the programs that measure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use burn_ssl::prelude::DeviceSpec;
use serde_json::Value;

use super::environment::{self, Variables};
use super::{Common, machine};

/// An example of a crate, built once for each backend, since libraries of other backends take memory too.
pub(super) struct Example {
    name: &'static str,
    /// The folder with a folder for each backend.
    folder: PathBuf,
    environment: Variables,
}

impl Example {
    /// Builds it for the backends of `devices`, or finds it where an earlier run or a pack put it.
    pub(super) fn new(
        common: &Common,
        package: &str,
        name: &'static str,
        devices: &[String],
    ) -> Result<Self> {
        let environment = environment::of_both(common)?;
        let backends = devices.iter().map(|device| feature(device)).collect::<Result<BTreeSet<_>>>()?;
        let folder = match &common.pack {
            Some(pack) => pack.join("unpacked"),
            None => target_folder().join("bench"),
        };
        for backend in backends {
            let program = folder.join(backend).join(name);
            if common.pack.is_none() && !common.no_build {
                build_example(package, name, backend, &program)?;
            }
            ensure!(
                program.is_file(),
                "{} does not exist, expected the program of an earlier run or a pack",
                program.display()
            );
        }
        Ok(Self { name, folder, environment })
    }

    /// Runs it; `device` must be one of those that it was made for.
    pub(super) fn measure(&self, device: &str, arguments: &[String]) -> Result<Value> {
        measure(&self.folder.join(feature(device)?).join(self.name), arguments, &self.environment)
    }
}

/// The cargo feature of a device's backend.
fn feature(device: &str) -> Result<&'static str> {
    Ok(device.parse::<DeviceSpec>()?.feature())
}

/// Builds an example of a crate with a backend, and puts it where builds for other backends do not overwrite it.
fn build_example(package: &str, example: &str, backend: &str, program: &Path) -> Result<()> {
    let more = if backend == "flex" { "" } else { backend };
    let built = build(&["-p", package, "--example", example, "--features", more], example, &[])?;
    let folder = program.parent().context("a program without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(&built, program).with_context(|| format!("cannot write {}", program.display()))?;
    Ok(())
}

/// Where cargo builds.
pub(crate) fn target_folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}

/// Runs `cargo build --release` and returns the program or shared library called `name`.
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
    let made = messages
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["filenames"][0].as_str().map(PathBuf::from));
    match (output.status.success(), made) {
        (true, Some(made)) => Ok(made),
        _ => bail!("cargo build {} did not build {name}, see above", arguments.join(" ")),
    }
}

/// Runs a program and returns the JSON object on its last line of output.
fn measure(program: &Path, arguments: &[String], environment: &[(&str, String)]) -> Result<Value> {
    let name = program.display();
    let output = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
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

/// The other side: the scripts in `xtask/baseline`, run by a Python with torch.
pub(super) struct Baseline {
    python: PathBuf,
    scripts: PathBuf,
    environment: Variables,
}

impl Baseline {
    /// `None` without `--baseline`.
    pub(super) fn new(common: &Common) -> Result<Option<Self>> {
        let Some(python) = common.baseline.clone() else { return Ok(None) };
        let scripts = match &common.pack {
            Some(pack) => pack.join("baseline"),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline"),
        };
        Ok(Some(Self { python, scripts, environment: environment::of_both(common)? }))
    }

    /// Runs a script in the environment of a variant.
    pub(super) fn measure(&self, script: &str, variant: &str, arguments: &[String]) -> Result<Value> {
        let script = self.scripts.join(script).display().to_string();
        let environment = [self.environment.clone(), environment::of_variant(variant)].concat();
        measure(&self.python, &[&[script], arguments].concat(), &environment)
    }
}

/// The variants of PyTorch that can run here: none without a baseline, compiled ones only with a compiler.
pub(super) fn variants<'a>(common: &Common, asked: &'a [String]) -> Vec<&'a str> {
    let compiles = machine::has_compiler();
    let usable = |variant: &&str| {
        let usable = compiles || !variant.contains("compile");
        if !usable {
            eprintln!("torch {variant} is skipped: there is no C++ compiler");
        }
        usable
    };
    let asked = if common.baseline.is_some() { asked } else { &[] };
    asked.iter().map(String::as_str).filter(usable).collect()
}

/// Where the files that tell both sides of their work are written.
pub(super) fn work_folder(common: &Common, benchmark: &str) -> PathBuf {
    common.pack.clone().unwrap_or_else(|| target_folder().join("bench")).join(benchmark)
}

/// Turns displayable values into arguments.
pub(super) fn arguments(pairs: &[(&str, &dyn std::fmt::Display)]) -> Vec<String> {
    pairs.iter().flat_map(|(flag, value)| [format!("--{flag}"), value.to_string()]).collect()
}

/// The numbers of a JSON array.
pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|values| values.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
}
