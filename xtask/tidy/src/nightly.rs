//! `cargo xtask nightly`: what takes too long for CI.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::fuzz::Fuzz;

/// Minutes in which every target has to find the bug that is planted in it.
const PLANTED_MINUTES: u64 = 1;
/// Where Vulkan's drivers are registered.
const DRIVERS: &str = "/usr/share/vulkan/icd.d";

/// How long.
#[derive(Args)]
pub(crate) struct Nightly {
    /// Minutes for each fuzz target.
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
    /// Minutes for all attacks on the tool together.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    torture_minutes: f64,
}

impl Nightly {
    /// Runs everything, the hours last; `torture` attacks the tool for some minutes.
    ///
    /// # Errors
    /// The first step that fails.
    pub(crate) fn run(&self, torture: impl FnOnce(f64) -> Result<()>) -> Result<()> {
        miri()?;
        shaders()?;
        println!("a method added by its page, compiled");
        crate::adding::run()?;
        println!("attacks on the tool");
        torture(self.torture_minutes)?;
        println!("fuzz targets with a planted bug");
        Fuzz::all(PLANTED_MINUTES, true).run()?;
        println!("fuzz targets");
        Fuzz::all(self.minutes, false).run()
    }
}

/// Runs `xtask/miri.sh`, where there is Miri.
fn miri() -> Result<()> {
    let mut version = Command::new("cargo");
    version.args(["+nightly", "miri", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        println!("unsafe code: left out, since there is no nightly toolchain with Miri");
        return Ok(());
    }
    println!("unsafe code, by Miri");
    script("miri.sh", &[])
}

/// Compares `wgpu` with float64 as users build it, and without fusion. CI leaves autotuning out: it takes most of half an hour
/// where a CPU imitates the GPU.
fn shaders() -> Result<()> {
    let mut drivers = Path::new(DRIVERS).read_dir().into_iter().flatten();
    if drivers.next().is_none() {
        println!("wgpu: left out, since {DRIVERS} names no Vulkan driver");
        return Ok(());
    }
    for features in ["burn-ssl/wgpu", "ssl-kernels/wgpu-plain"] {
        println!("wgpu against float64, with {features}");
        script("parity.sh", &["--build", features, "wgpu"])?;
    }
    Ok(())
}

/// Runs a script of `xtask`.
fn script(name: &str, arguments: &[&str]) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let status = Command::new("bash").arg(&script).args(arguments).status();
    let status = status.with_context(|| format!("{} cannot be started", script.display()))?;
    ensure!(status.success(), "{} failed", script.display());
    Ok(())
}
