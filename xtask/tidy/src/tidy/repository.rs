//! The input of the rules: the crates of the workspace and the tracked text files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};
use walkdir::WalkDir;

/// The whole repository in memory.
pub(crate) struct Repository {
    /// Absolute path of the folder with the workspace manifest.
    pub(crate) root: String,
    /// The crates of the workspace.
    pub(super) packages: Vec<Package>,
    /// The tracked text files.
    pub(super) files: Vec<TextFile>,
}

/// One crate of the workspace, with what the rules need.
#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    /// Path of its folder, relative to the root.
    pub(super) folder: String,
    pub(super) description: Option<String>,
    pub(super) publishes: bool,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// One line of a dependency table.
#[derive(Clone, Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// Whether only tests, examples and benches see it.
    pub(super) dev: bool,
}

/// One tracked text file.
#[derive(Clone, Debug)]
pub(super) struct TextFile {
    /// Relative to the root, with `/` between folders.
    pub(super) path: String,
    pub(super) text: String,
}

impl Repository {
    /// Reads the repository that holds `folder`.
    ///
    /// # Errors
    /// If `folder` is not in a cargo workspace, or a tracked file cannot be read.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new().current_dir(folder).no_deps().exec()?;
        let root = metadata.workspace_root.clone();
        let packages = metadata.workspace_packages().into_iter().map(|package| Package::new(package, &root));
        Ok(Self {
            packages: packages.collect(),
            files: tracked_files(root.as_std_path())?,
            root: root.into_string(),
        })
    }

    /// Copies all tracked files into another folder.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<()> {
        let root = Path::new(&self.root);
        for name in file_names(root)? {
            let (from, to) = (root.join(&name), folder.join(&name));
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(folder))?;
                fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
            }
        }
        Ok(())
    }

    /// Writes the text files into another folder.
    #[cfg(test)]
    pub(crate) fn write_texts(&self, folder: &Path) -> Result<()> {
        for file in &self.files {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, &file.text)?;
        }
        Ok(())
    }
}

impl Package {
    fn new(package: &cargo_metadata::Package, root: &cargo_metadata::camino::Utf8Path) -> Self {
        let folder = package.manifest_path.parent().unwrap_or(root);
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            dev: dependency.kind == DependencyKind::Development,
        });
        Self {
            name: package.name.to_string(),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_string(),
            description: package.description.clone(),
            publishes: package.publish.as_ref().is_none_or(|registries| !registries.is_empty()),
            dependencies: dependencies.collect(),
            features: package.features.clone().into_iter().collect(),
        }
    }

    /// Path of the manifest, relative to the root.
    pub(super) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl TextFile {
    /// The number of the first line for which `holds` is true; 1 where there is none.
    pub(super) fn line_where(&self, holds: impl Fn(&str) -> bool) -> usize {
        self.numbered_lines().find(|(_, line)| holds(line)).map_or(1, |(number, _)| number)
    }

    /// The lines with their numbers, counted from one.
    pub(super) fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether this is Rust source.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// The file at `path`, if it is tracked and text.
pub(super) fn find<'a>(files: &'a [TextFile], path: &str) -> Option<&'a TextFile> {
    files.iter().find(|file| file.path == path)
}

/// The tracked files.
fn file_names(root: &Path) -> Result<Vec<String>> {
    git_files(root).map_or_else(|| walked_files(root), Ok)
}

fn tracked_files(root: &Path) -> Result<Vec<TextFile>> {
    let names = file_names(root)?;
    let files = names.iter().map(|name| read_text(root, name));
    Ok(files.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// What git tracks, or `None` where there is no git or no checkout.
fn git_files(root: &Path) -> Option<Vec<String>> {
    // In CI the clone may belong to another user, which git refuses unless told otherwise.
    let git =
        Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(root).output();
    let list = git.ok().filter(|list| list.status.success())?;
    let names = String::from_utf8(list.stdout).ok()?;
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

/// Every file outside of the folders that git does not track either: what an unpacked archive holds.
fn walked_files(root: &Path) -> Result<Vec<String>> {
    let untracked = |name: &str| name == ".git" || name == "shared" || name.starts_with("target");
    let entries = WalkDir::new(root).sort_by_file_name().into_iter();
    let entries = entries
        .filter_entry(|entry| entry.depth() != 1 || !entry.file_name().to_str().is_some_and(untracked));
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context("listing the files of the repository")?;
        let name =
            entry.path().strip_prefix(root)?.components().map(|part| part.as_os_str().to_string_lossy());
        if entry.file_type().is_file() {
            names.push(name.collect::<Vec<_>>().join("/"));
        }
    }
    Ok(names)
}

/// `None` for images, weights and other bytes that are no text, and for files deleted but still in the index.
fn read_text(root: &Path, name: &str) -> Result<Option<TextFile>> {
    let path = root.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    Ok(text.map(|text| TextFile { path: name.to_owned(), text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_same_kind_of_list_comes_from_the_disk() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let walked = walked_files(folder).expect("the folder of this package is readable");
        assert!(walked.contains(&"src/tidy/repository.rs".to_owned()), "{walked:?}");
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("weights"), [b'a', 0, b'b']).expect("writing");
        fs::write(folder.path().join("photo"), [0xff, 0xd8]).expect("writing");
        fs::write(folder.path().join("note"), "text").expect("writing");
        let files = tracked_files(folder.path()).expect("the folder is readable");
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["note"]);
    }
}
