//! The machine that the figures were measured on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Machine and versions, those of a Python if there is one, as far as the system reports them. A pack has its own.
pub(super) fn setup(baseline: Option<&Path>, pack: Option<&Path>) -> Value {
    let packed = |name: &str| Some(fs::read_to_string(pack?.join(name)).ok()?.trim().to_owned());
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
        "python": baseline.map(python),
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

/// What is measured, and what measures it. Results and other pages change during the runs.
const SOURCES: [&str; 6] = [":/Cargo.lock", ":/Cargo.toml", ":/.cargo", ":/crates", ":/examples", ":/xtask"];

/// The commit of the sources, with `-dirty` if they differ from it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| said("git", &[&["-C", env!("CARGO_MANIFEST_DIR")], arguments].concat());
    let head = git(&["rev-parse", "--short=9", "HEAD"]);
    let changed = git(&[&["status", "--porcelain", "--untracked-files=no", "--"][..], &SOURCES].concat());
    if changed.is_empty() { head } else { head + "-dirty" }
}

/// Fails unless two setups have the same machine, versions and sources.
pub(super) fn ensure_same(then: &Value, now: &Value) -> Result<()> {
    for name in ["cpu", "processor", "cores", "gpu", "rustc", "burn", "glibc", "c++", "python", "environment"]
    {
        let (then, now) = (&then[name], &now[name]);
        ensure!(
            then == now,
            "found another {name}: {then} then, {now} now; expected --archive, for figures of their own"
        );
    }
    let [then, now] = [then, now].map(|setup| setup["commit"].as_str().unwrap_or_default());
    let of_no_commit = [then, now].into_iter().find(|commit| commit.ends_with("-dirty"));
    ensure!(
        of_no_commit.is_none(),
        "found sources that differ from their commit, {}: expected committed ones",
        of_no_commit.unwrap_or_default()
    );
    ensure!(
        then == now || is_unchanged(Path::new(env!("CARGO_MANIFEST_DIR")), then, now),
        "found other sources: {then} then, {now} now; expected --archive, for figures of their own"
    );
    Ok(())
}

/// Whether two commits have the same sources.
fn is_unchanged(folder: &Path, then: &str, now: &str) -> bool {
    let diff = ["diff", "--quiet", then, now, "--"];
    let diff = Command::new("git").arg("-C").arg(folder).args(diff).args(SOURCES).output();
    diff.is_ok_and(|diff| diff.status.success())
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
    fn other_machines_versions_and_sources_are_named() {
        let setup = |cpu: &str, commit: &str| json!({ "cpu": cpu, "commit": commit });
        let error = |then: &Value, now: &Value| ensure_same(then, now).map_err(|error| error.to_string());
        let here = setup("a", "1a2b3c4");
        assert_eq!(error(&here, &here), Ok(()));
        let other = error(&here, &setup("b", "1a2b3c4")).expect_err("another processor");
        assert!(other.starts_with("found another cpu: \"a\" then, \"b\" now"), "{other}");
        let other = error(&here, &setup("a", "no such commit")).expect_err("other sources");
        assert!(other.starts_with("found other sources: 1a2b3c4 then, no such commit now"), "{other}");
        let dirty = setup("a", "1a2b3c4-dirty");
        let other = error(&dirty, &dirty).expect_err("nobody knows what has changed since");
        assert!(other.ends_with("1a2b3c4-dirty: expected committed ones"), "{other}");
    }

    #[test]
    fn pages_are_no_sources() {
        let folder = tempfile::tempdir().expect("a folder");
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let output = Command::new("git").arg("-C").arg(folder.path()).args(who).args(arguments).output();
            String::from_utf8(output.expect("git").stdout).expect("text").trim().to_owned()
        };
        let commit = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, name).expect("writable");
            git(&["add", "."]);
            git(&["commit", "--quiet", "-m", name]);
            git(&["rev-parse", "HEAD"])
        };
        git(&["init", "--quiet"]);
        let commits = ["crates/a.rs", "docs/a.md", "README.md", "crates/b.rs"].map(commit);
        assert!(is_unchanged(folder.path(), &commits[0], &commits[2]));
        assert!(!is_unchanged(folder.path(), &commits[2], &commits[3]));
        assert!(!is_unchanged(folder.path(), "no such commit", &commits[0]));
    }

    #[test]
    fn the_name_is_fit_for_a_folder() {
        assert!(name().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{}", name());
    }
}
