//! What all attacks share: the program, made images, folders, and a tiny run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::png;
use super::program::{Ended, Program, Running};

/// Images of each of the two classes.
const IMAGES: u32 = 12;
/// Pixels a side.
pub(super) const SIZE: &str = "16";

/// Where the attacks take place.
pub(super) struct Scene {
    program: Program,
    root: tempfile::TempDir,
    findings: PathBuf,
}

impl Scene {
    /// Makes images and folders; files of findings go below `out`.
    pub(super) fn new(program: Program, out: &Path) -> Result<Self> {
        fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
        let root = tempfile::Builder::new().prefix("torture").tempdir()?;
        let scene = Self { program, root, findings: std::path::absolute(out)?.join("findings") };
        for (class, shift) in [("one", 0), ("two", 50)] {
            let folder = scene.images().join(class);
            fs::create_dir_all(&folder)?;
            for index in 0..IMAGES {
                fs::write(folder.join(format!("{index:02}.png")), png::stripes(16, index + shift)?)?;
            }
        }
        scene.clear()?;
        Ok(scene)
    }

    /// Labelled images that nothing is wrong with.
    pub(super) fn images(&self) -> PathBuf {
        self.root.path().join("images")
    }

    /// A folder for what several attempts of an attack use.
    pub(super) fn kept(&self, name: &str) -> PathBuf {
        self.root.path().join("kept").join(name)
    }

    /// The folder of an attempt, which programs are started in. It is empty when the attempt begins.
    pub(super) fn here(&self) -> PathBuf {
        self.root.path().join("here")
    }

    pub(super) fn clear(&self) -> Result<()> {
        if self.here().exists() {
            fs::remove_dir_all(self.here())?;
        }
        Ok(fs::create_dir_all(self.here())?)
    }

    /// Saves the files of an attempt that found something.
    pub(super) fn keep(&self, name: &str) -> Result<PathBuf> {
        let to = self.findings.join(name);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        copy(&self.here(), &to)?;
        Ok(to)
    }

    pub(super) fn start<A: AsRef<str>>(&self, args: &[A]) -> Result<Running> {
        self.program.start(&self.here(), &args.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    pub(super) fn run<A: AsRef<str>>(&self, args: &[A]) -> Result<Ended> {
        self.start(args)?.wait()
    }

    /// Runs a command that works if anything does.
    pub(super) fn must<A: AsRef<str>>(&self, args: &[A]) -> Result<Ended> {
        let ended = self.run(args)?;
        ensure!(ended.succeeded(), "`{}` fails: {}", ended.line, ended.stderr);
        Ok(ended)
    }

    /// Arguments of an evaluation of images by an untrained encoder.
    pub(super) fn embedding(&self, data: &Path) -> Vec<String> {
        let network = ["embed", "--untrained", "--model", "resnet18", "--width", "2", "--stem", "cifar"];
        let rest = ["--image-size", SIZE, "--workers", "1", "--overwrite", "--out", "features.csv", "--data"];
        strings(&network).chain(strings(&rest)).chain([text(data)]).collect()
    }

    /// Arguments of a run of twelve steps with a checkpoint after every second, in a folder.
    pub(super) fn pretraining(&self, recipe: &str, out: &Path) -> Vec<String> {
        self.pretraining_of(&["--model", "resnet18", "--width", "2", "--stem", "cifar"], recipe, out)
    }

    /// The same with another network.
    pub(super) fn pretraining_of(&self, network: &[&str], recipe: &str, out: &Path) -> Vec<String> {
        let network = [&["pretrain", "--recipe", recipe], network].concat();
        let sizes = ["--image-size", SIZE, "--batch-size", "8", "--workers", "1", "--epochs", "4"];
        let more = [
            "--set",
            "checkpoint.every_steps=2",
            "--set",
            "checkpoint.keep=3",
            "--set",
            "eval.every_epochs=0",
            "--set",
            "encoder.bn_splits=1",
            "--set",
            "schedule.warmup_epochs=1",
        ];
        let all = [&network[..], &sizes, &more].concat();
        let paths = ["--data".to_owned(), text(&self.images()), "--out".to_owned(), text(out)];
        strings(&all).chain(paths).collect()
    }
}

/// Arguments as owned strings.
pub(super) fn strings<'a>(args: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    args.iter().map(|arg| (*arg).to_owned())
}

/// A path as an argument. Ours are made of Unicode.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Copies a file or a folder with everything in it, links as links. Pipes and devices are left out.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        return fs::copy(from, to).map(|_| ());
    }
    if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Every file below a folder, by its path from there, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            found.push(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    Ok(found)
}
