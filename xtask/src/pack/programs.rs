//! The programs of a pack, built for one backend, stripped and compressed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use burn_ssl::core::DeviceSpec;

use super::{Pack, compress};
use crate::bench::build;

/// What a flavour consists of: package and program.
const EXAMPLES: [(&str, &str); 4] =
    [("burn-ssl", "step_time"), ("burn-ssl", "loss_time"), ("burn-ssl", "knn_time"), ("burn-ssl", "parity")];

/// Those that have no backend are packed once.
const WITHOUT_BACKEND: [(&str, &str); 2] =
    [("ssl-data", "augment_throughput"), ("ssl-data", "loader_throughput")];

/// Builds the programs with the backends of `flavour`, such as `tch` or `cuda+vulkan`, and writes an archive with the
/// name of the first, in which the others are links to its folder; `flex` also holds `xtask` itself and the programs of
/// the data pipeline.
pub(super) fn add(flavour: &str, pack: &Pack, archives: &Path) -> Result<()> {
    let backends: Vec<&str> = flavour.split('+').collect();
    let known: BTreeSet<_> = DeviceSpec::kinds().map(|kind| kind.feature).into();
    if let Some(unknown) = backends.iter().find(|backend| !known.contains(*backend)) {
        let known: Vec<_> = known.into_iter().collect();
        bail!("there is no backend {unknown}, expected one of {}", known.join(", "));
    }
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
        for (package, example) in WITHOUT_BACKEND {
            built.push(build(&["-p", package, "--example", example], example, &[])?);
        }
        built.push(std::env::current_exe().context("this program has no file")?);
    }
    for program in &built {
        strip(program, &folder)?;
    }
    for other in &backends[1..] {
        symlink(backends[0], archives.join(other))?;
    }
    compress(archives, &backends)
}

/// Makes `link` a link to the folder `name` beside it.
fn symlink(name: &str, link: PathBuf) -> Result<()> {
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(name, &link);
    #[cfg(windows)]
    let made = std::os::windows::fs::symlink_dir(name, &link);
    made.with_context(|| format!("cannot make the link {}", link.display()))
}

/// Copies a program without its symbols.
fn strip(program: &Path, folder: &Path) -> Result<()> {
    let target = folder.join(program.file_name().unwrap_or_default());
    let status = Command::new("strip").arg("-o").arg(&target).arg(program).status();
    ensure!(status.context("strip cannot be started")?.success(), "strip fails on {}", program.display());
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

    /// What the build scripts of `tch` look for: a `python` with torch, whatever its version.
    fn environment(&self) -> Result<Vec<(String, String)>> {
        let folder = self.python.parent().context("the Python with torch is in no folder")?;
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
