//! The programs of a pack: built for some backends, stripped and compressed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use burn_ssl::core::DeviceSpec;

use super::{Pack, compress};
use crate::bench::build;

/// The programs that `run.sh` starts for every backend besides the tool, as package and name. There are no more, because a
/// program with a GPU backend takes 10 MB of a pack.
const EXAMPLES: [(&str, &str); 2] = [("burn-ssl", "step_time"), ("burn-ssl", "parity")];

/// More programs for the CPU, for benchmarks by hand.
const FLEX_EXAMPLES: [(&str, &str); 5] = [
    ("burn-ssl", "embed_time"),
    ("burn-ssl", "loss_time"),
    ("burn-ssl", "knn_time"),
    ("ssl-data", "augment_throughput"),
    ("ssl-data", "loader_throughput"),
];

/// The backends of every flavour, such as `tch` or `cuda+vulkan`.
///
/// # Errors
/// If a backend is unknown or given twice: a pack has one folder for each.
pub(super) fn backends(flavours: &[String]) -> Result<Vec<Vec<&str>>> {
    let known: BTreeSet<_> = DeviceSpec::kinds().map(|kind| kind.feature).into();
    let mut seen = BTreeSet::new();
    let builds: Vec<Vec<&str>> = flavours.iter().map(|flavour| flavour.split('+').collect()).collect();
    for backend in builds.iter().flatten() {
        ensure!(
            known.contains(backend),
            "there is no backend {backend}, expected one of {}",
            known.iter().copied().collect::<Vec<_>>().join(", ")
        );
        ensure!(seen.insert(backend), "the backend {backend} is given twice, expected one build for each");
    }
    Ok(builds)
}

/// Builds the programs with some backends and writes an archive with the name of the first, in which the others are
/// links to its folder; `flex` also holds this program itself and further benchmarks.
pub(super) fn add(backends: &[&str], pack: &Pack, archives: &Path) -> Result<()> {
    let environment = if backends.contains(&"tch") { Tch::new(pack)?.environment()? } else { Vec::new() };
    let folder = archives.join(backends[0]);
    fs::create_dir_all(&folder)?;
    let features = backends.join(",");
    let mut built = vec![build(
        &["-p", "ssl-cli", "--bin", "burn-ssl", "--features", &features],
        "burn-ssl",
        &environment,
    )?];
    for (package, example) in EXAMPLES {
        let arguments = ["-p", package, "--example", example, "--features", &features];
        built.push(build(&arguments, example, &environment)?);
    }
    if backends.contains(&"flex") {
        for (package, example) in FLEX_EXAMPLES {
            built.push(build(&["-p", package, "--example", example], example, &[])?);
        }
        built.push(std::env::current_exe().context("the path of this program is unknown")?);
    }
    for program in &built {
        strip(program, &folder)?;
    }
    for other in &backends[1..] {
        run(Command::new("ln").arg("-s").arg(backends[0]).arg(archives.join(other)))?;
    }
    compress(archives, backends)
}

/// Copies a program without its symbols.
fn strip(program: &Path, folder: &Path) -> Result<()> {
    let target = folder.join(program.file_name().unwrap_or_default());
    let status = Command::new("strip").arg("-o").arg(&target).arg(program).status();
    ensure!(status.context("strip cannot be started")?.success(), "strip failed on {}", program.display());
    Ok(())
}

/// The torch to build against.
struct Tch {
    python: PathBuf,
}

impl Tch {
    fn new(pack: &Pack) -> Result<Self> {
        if let Some(python) = &pack.torch_python {
            return Ok(Self { python: python.clone() });
        }
        let version = &pack.torch;
        let venv =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pack").join(format!("torch-{version}"));
        let python = venv.join("bin/python");
        if !python.is_file() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "numpy", "setuptools"])
            .arg(format!("torch=={version}.*")))?;
        Ok(Self { python })
    }

    /// The environment that the build scripts of `tch` need: a `python` with torch, of any version.
    fn environment(&self) -> Result<Vec<(String, String)>> {
        let folder = self.python.parent().context("the Python with torch is not in a folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        // The build scripts start it from the folders of their packages.
        let folder = std::path::absolute(folder)?;
        Ok(vec![
            ("PATH".into(), format!("{}:{path}", folder.display())),
            ("LIBTORCH_USE_PYTORCH".into(), "1".into()),
            ("LIBTORCH_BYPASS_VERSION_CHECK".into(), "1".into()),
        ])
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("{name} fails, see above"),
        Err(error) => bail!("{name} cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builds(flavours: &[&str]) -> Result<usize> {
        let flavours: Vec<String> = flavours.iter().map(|flavour| flavour.to_string()).collect();
        Ok(backends(&flavours)?.len())
    }

    #[test]
    fn every_backend_is_known_and_comes_once() {
        assert_eq!(builds(&["flex", "tch", "cuda+vulkan"]).expect("three builds"), 3);
        let error = |flavours: &[&str]| builds(flavours).expect_err("refused").to_string();
        assert!(
            error(&["flex", "cuda+gpu"]).starts_with("there is no backend gpu, expected one of cuda, flex")
        );
        assert!(error(&["cuda", "cuda+vulkan"]).starts_with("the backend cuda is given twice"));
        assert!(error(&["tch", "cuda+tch"]).starts_with("the backend tch is given twice"));
    }
}
