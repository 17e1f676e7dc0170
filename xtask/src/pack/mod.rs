//! `cargo xtask pack`: one folder with everything for benchmarks on a GPU machine without network and without Rust.

mod data;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::bench::said;

/// The largest size of a pack in bytes, limited by the transfers of rented machines.
const LIMIT: u64 = 60 << 20;

/// Packs binaries, baseline scripts and a few images for a machine without network and without Rust.
#[derive(Args)]
pub(crate) struct Pack {
    /// The folder to create.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Backends, each a build: flex, tch, cuda, wgpu, vulkan, metal, rocm; `+` joins several in one build, as in `cuda+vulkan`.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    flavours: Vec<String>,
    /// The torch version of the other machine, for the flavour `tch`: it is installed in a virtual environment to build
    /// against.
    #[arg(long, value_name = "VERSION", default_value = "2.11")]
    torch: String,
    /// A Python with this torch, instead of installing it.
    #[arg(long, value_name = "PYTHON")]
    torch_python: Option<PathBuf>,
    /// A tar of training images, <class>/<name>.jpg; without it, the pack does no pretraining.
    #[arg(long, value_name = "TAR", requires = "test")]
    train: Option<PathBuf>,
    /// Pack only the first N of them.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    train_images: usize,
    /// A tar of test images with the same classes.
    #[arg(long, value_name = "TAR", requires = "train")]
    test: Option<PathBuf>,
    /// Pack only the first N of them.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    test_images: usize,
}

pub(crate) fn run(pack: &Pack) -> Result<()> {
    let out = &pack.out;
    let builds = programs::backends(&pack.flavours)?;
    let taken = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!taken, "{} is not empty, expected a new folder", out.display());
    let archives = out.join("archives");
    fs::create_dir_all(&archives).with_context(|| format!("cannot make {}", archives.display()))?;
    copy_scripts(out)?;
    for backends in &builds {
        programs::add(backends, pack, &archives)?;
    }
    if let (Some(train), Some(test)) = (&pack.train, &pack.test) {
        data::add(
            &[
                (train.as_path(), pack.train_images, "train.tar"),
                (test.as_path(), pack.test_images, "test.tar"),
            ],
            &archives,
        )?;
    }
    let size = list(out)?;
    ensure!(
        size <= LIMIT,
        "the pack has {} bytes, expected at most {LIMIT}: pack fewer images or flavours",
        size
    );
    println!("Copy {} to the other machine and start `./run.sh PYTHON` in it.", out.display());
    Ok(())
}

/// Copies the scripts, and records the commit.
fn copy_scripts(out: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&source.join("pack/run.sh"), &out.join("run.sh"))?;
    copy_python(&source.join("baseline"), &out.join("baseline"))?;
    fs::write(out.join("commit.txt"), crate::bench::commit() + "\n")?;
    fs::write(out.join("rustc.txt"), said("rustc", &["--version"]) + "\n")?;
    Ok(())
}

/// The Python files of a folder and of the packages in it.
fn copy_python(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.join("__init__.py").exists() {
            copy_python(&path, &to)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            copy(&path, &to)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<u64> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Replaces some folders in `archives`, or links to the first of them, by an archive with the first one's name. It holds
/// programs that share most of their code, and the window of xz is wide enough to find it again.
fn compress(archives: &Path, names: &[&str]) -> Result<()> {
    let archive = archives.join(format!("{}.tar.xz", names[0]));
    let status = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0"])
        .args(["--use-compress-program", "xz --lzma2=preset=6,dict=192MiB"])
        .args([Path::new("--file"), &archive, Path::new("--directory"), archives])
        .args(names)
        .status()
        .context("tar cannot be started")?;
    ensure!(status.success(), "tar and xz did not create {}, see above", archive.display());
    for name in &names[1..] {
        fs::remove_file(archives.join(name))?;
    }
    Ok(fs::remove_dir_all(archives.join(names[0]))?)
}

/// Prints the files with their sizes and returns the sum in bytes.
fn list(out: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in walkdir::WalkDir::new(out).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            let size = entry.metadata()?.len();
            sum += size;
            println!("{size:>10}  {}", entry.path().strip_prefix(out).unwrap_or(entry.path()).display());
        }
    }
    println!("{sum:>10}  in all");
    Ok(sum)
}
