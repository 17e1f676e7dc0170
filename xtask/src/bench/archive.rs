//! Keeping what was measured: raw figures, machine, versions and a summary.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::Figures;

/// Writes `docs/benchmarks/<date>-<machine>/<name>.{json,md}`.
pub(super) fn archive(name: &str, machine: &str, figures: &[Figures], table: &str) -> Result<()> {
    let date = said("date", &["+%F"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("docs/benchmarks").join(format!("{date}-{machine}"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let setup = json!({
        "command": format!("cargo xtask {command}"),
        "date": date,
        "cpu": cpu(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "commit": said("git", &["rev-parse", "--short", "HEAD"]),
        "rustc": said("rustc", &["--version"]),
    });
    let raw = serde_json::to_string_pretty(&json!({ "setup": setup, "figures": figures }))?;
    fs::write(folder.join(format!("{name}.json")), raw + "\n")?;
    let setup = serde_json::to_string_pretty(&setup)?;
    let summary = format!("# {name}\n\n{table}\n\nRaw figures: `{name}.json`.\n\n```json\n{setup}\n```\n");
    fs::write(folder.join(format!("{name}.md")), summary)?;
    println!("\nArchived in {}", folder.display());
    Ok(())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |line| line.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}
