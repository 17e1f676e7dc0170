//! What the figures were measured on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Common;

/// Machine and versions, as far as the system tells.
pub(super) fn setup(common: &Common) -> Value {
    let packed =
        |name: &str| Some(fs::read_to_string(common.pack.as_ref()?.join(name)).ok()?.trim().to_owned());
    json!({
        "cpu": cpu(),
        "cores": cores(),
        "memory_mib": memory_mib(),
        "load_average": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "gpu": said("nvidia-smi", &["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]),
        "commit": packed("commit.txt").unwrap_or_else(commit),
        "rustc": packed("rustc.txt").unwrap_or_else(|| said("rustc", &["--version"])),
        "burn": burn(),
        "python": common.baseline.as_deref().map(python),
    })
}

/// A name for a folder: the processor's and the number of cores.
pub(super) fn name() -> String {
    let word =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let known = cpu();
    let words = known.split_whitespace().map(word).filter(|word| !word.is_empty()).take(4);
    format!("{}-{}core", words.collect::<Vec<_>>().join("-"), cores())
}

/// What a program says, nothing if it cannot be run.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |line| line.trim_start_matches([' ', '\t', ':']).to_owned(),
    )
}

fn memory_mib() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// The commit of the source, with `-dirty` if files differ from it.
pub(crate) fn commit() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    said("git", &["-C", folder, "describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"])
}

/// Burn's version, from the lock file that this program was built with.
fn burn() -> Option<&'static str> {
    let lock = include_str!("../../../Cargo.lock");
    lock.split("\nname = \"burn\"\nversion = \"").nth(1)?.split('"').next()
}

fn python(python: &Path) -> Value {
    let program = "import json, platform\n\
        from importlib.metadata import PackageNotFoundError, version\n\
        found = {'python': platform.python_version()}\n\
        for name in ['torch', 'torchvision', 'albumentations', 'numpy', 'pillow']:\n\
        \x20   try:\n\
        \x20       found[name] = version(name)\n\
        \x20   except PackageNotFoundError:\n\
        \x20       pass\n\
        print(json.dumps(found))";
    serde_json::from_str(&said(&python.display().to_string(), &["-c", program])).unwrap_or_default()
}

/// Whether a C++ compiler is at hand, which `torch.compile` needs.
pub(super) fn has_compiler() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let named = |folder: PathBuf| ["c++", "g++", "clang++"].iter().any(|name| folder.join(name).is_file());
    std::env::var_os("CXX").is_some() || std::env::split_paths(&folders).any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_burns_version() {
        assert_eq!(burn(), Some("0.22.1"));
    }

    #[test]
    fn the_name_is_fit_for_a_folder() {
        assert!(name().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{}", name());
    }
}
