//! The machine that the figures were measured on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Common;

/// Machine and versions, as far as the system reports them.
pub(super) fn setup(common: &Common) -> Value {
    let packed =
        |name: &str| Some(fs::read_to_string(common.pack.as_ref()?.join(name)).ok()?.trim().to_owned());
    json!({
        "cpu": cpu(),
        "processor": processor(),
        "cores": cores(),
        "memory_mib": memory_mib(),
        "huge_pages": fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default().trim(),
        "load_average": load_average(),
        "gpu": said("nvidia-smi", &["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]),
        "commit": packed("commit.txt").unwrap_or_else(commit),
        "rustc": packed("rustc.txt").unwrap_or_else(|| said("rustc", &["--version"])),
        "burn": burn(),
        "glibc": said("getconf", &["GNU_LIBC_VERSION"]),
        "c++": said("c++", &["--version"]).lines().next().unwrap_or_default(),
        "python": common.baseline.as_deref().map(python),
    })
}

/// The load average: processes that run or wait for a core, over 1, 5 and 15 minutes.
pub(super) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// A name for a folder: the processor's, the number of cores and the widest vectors. The names of virtual processors
/// say little.
pub(super) fn name() -> String {
    let word =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let known = cpu();
    let words = known.split_whitespace().map(word).filter(|word| !word.is_empty()).take(4);
    let flags = info("flags").unwrap_or_default();
    let widest = [("avx512f", "-avx512"), ("avx2", "-avx2")];
    let widest = widest.into_iter().find(|(flag, _)| flags.split_whitespace().any(|known| known == *flag));
    let widest = widest.map_or("", |(_, name)| name);
    format!("{}-{}core{widest}", words.collect::<Vec<_>>().join("-"), cores())
}

/// Family, model and stepping, which distinguish processors with the same name, and their vector instructions.
fn processor() -> Value {
    const SHOWN: [&str; 5] = ["avx2", "fma", "avx_vnni", "f16c", "hypervisor"];
    let is_shown =
        |flag: &&str| SHOWN.contains(flag) || flag.starts_with("avx512") || flag.starts_with("amx");
    let flags = info("flags").unwrap_or_default();
    json!({
        "vendor": info("vendor_id"),
        "family": info("cpu family"),
        "model": info("model"),
        "stepping": info("stepping"),
        "cache": info("cache size"),
        "flags": flags.split_whitespace().filter(is_shown).collect::<Vec<_>>(),
    })
}

/// The entry of the first core in /proc/cpuinfo.
fn info(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The output of a program, empty if it cannot be run.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu() -> String {
    info("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
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
        for name in ['torch', 'torchvision', 'timm', 'lightly', 'onnx', 'onnxruntime', 'albumentations',\n\
        'opencv-python-headless', 'opencv-python', 'numpy', 'pillow']:\n\
        \x20   try:\n\
        \x20       found[name] = version(name)\n\
        \x20   except PackageNotFoundError:\n\
        \x20       pass\n\
        print(json.dumps(found))";
    serde_json::from_str(&said(&python.display().to_string(), &["-c", program])).unwrap_or_default()
}

/// Whether there is a C++ compiler, which `torch.compile` needs.
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
