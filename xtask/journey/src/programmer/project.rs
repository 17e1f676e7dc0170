//! Packages outside of this workspace, built with what this one has built already.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};
use walkdir::WalkDir;

use super::block;
use crate::step::Step;

/// Columns of the terminal that cargo gets, whose lines have paths of any length.
const WIDE: u16 = 400;
/// A package without code that asks for the features that crates have here: others would mean to build Burn again.
const SHARED: &str = "as-here";
/// What this workspace builds for other backends or features alone.
const NOT_BUILT: [&str; 6] = ["bhtsne", "burn-tch", "burn-wgpu", "ferrompi", "tch", "torch-sys"];

/// A package that a page describes.
pub(crate) struct Package {
    pub(crate) name: String,
    manifest: Table,
    /// Contents by path.
    files: BTreeMap<PathBuf, String>,
}

impl Package {
    /// The manifest that a page prints, and its program, if it prints the whole.
    pub(crate) fn of_page(page: &str, user: &str) -> Result<Self> {
        let manifest: Table = block(page, user, "[package]")?.parse()?;
        let name = manifest["package"]["name"].as_str().context("a package has a name")?.to_owned();
        let main = block(page, user, "use ").ok().filter(|code| code.contains("fn main()"));
        let files = main.map(|code| (PathBuf::from("src/main.rs"), code)).into_iter().collect();
        Ok(Self { name, manifest, files })
    }

    /// The sources that a page goes through are those of a folder.
    pub(crate) fn with_files(mut self, folder: &Path) -> Result<Self> {
        for entry in WalkDir::new(folder).into_iter() {
            let path = entry?.into_path();
            let inside = path.strip_prefix(folder)?.to_owned();
            let is_source = inside.starts_with("src") || path.extension().is_some_and(|end| end == "toml");
            if path.is_file() && is_source && !inside.ends_with("Cargo.toml") {
                self.files.insert(inside, fs::read_to_string(&path)?);
            }
        }
        Ok(self)
    }

    /// The manifest, with the path of a crate in this repository in place of its address.
    fn manifest(&self, repository: &Path) -> Result<Table> {
        let mut manifest = self.manifest.clone();
        let dependencies = manifest.get_mut("dependencies").and_then(Value::as_table_mut);
        let mut ours = 0;
        for (name, value) in dependencies.context("there are no dependencies")?.iter_mut() {
            let Some(table) = value.as_table_mut() else { continue };
            if table.remove("git").is_none() {
                continue;
            }
            let path = repository.join("crates").join(name);
            table.insert("path".to_owned(), Value::String(path.display().to_string()));
            ours += 1;
        }
        ensure!(ours > 0, "no dependency of {} has an address: expected `git = \"...\"`", self.name);
        Ok(manifest)
    }
}

/// A workspace of packages in a folder of its own.
pub(crate) struct Workspace {
    folder: PathBuf,
    repository: PathBuf,
    /// The manifest of this workspace.
    here: Table,
}

impl Workspace {
    pub(crate) fn new(folder: &Path, repository: &Path) -> Result<Self> {
        let repository = fs::canonicalize(repository)?;
        let here = fs::read_to_string(repository.join("Cargo.toml"))?.parse()?;
        // The versions that are built here.
        fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        Ok(Self { folder: folder.to_owned(), repository, here })
    }

    /// Writes the packages and, beside them, what they need to share crates with this workspace.
    pub(crate) fn write(&self, packages: &[&Package]) -> Result<()> {
        for package in packages {
            let folder = self.folder.join(&package.name);
            write(&folder.join("Cargo.toml"), &package.manifest(&self.repository)?.to_string())?;
            package.files.iter().try_for_each(|(path, text)| write(&folder.join(path), text))?;
        }
        let shared = self.folder.join(SHARED);
        write(&shared.join("Cargo.toml"), &self.shared()?.to_string())?;
        write(&shared.join("src/lib.rs"), "")?;
        let names = packages.iter().map(|package| package.name.as_str()).chain([SHARED]);
        write(&self.folder.join("Cargo.toml"), &self.manifest(names)?.to_string())
    }

    /// The manifest of a workspace with the profiles of this one.
    fn manifest<'a>(&self, members: impl Iterator<Item = &'a str>) -> Result<Table> {
        let members = members.map(|name| Value::String(name.to_owned())).collect::<Vec<_>>();
        let workspace = Table::from_iter([
            ("resolver".to_owned(), Value::String("3".to_owned())),
            ("members".to_owned(), Value::Array(members)),
        ]);
        let mut profiles = self.here.get("profile").context("the workspace has profiles")?.clone();
        // There, our crates are dependencies like any other, which are optimised. Here they are to be built quickly.
        let of_packages = profiles["dev"]["package"].as_table_mut().context("a table of packages")?;
        for (name, _) in self.dependencies()?.filter(|(_, value)| is_ours(value)) {
            let own = Table::from_iter([("opt-level".to_owned(), Value::Integer(0))]);
            of_packages.entry(name).or_insert(Value::Table(own));
        }
        Ok(Table::from_iter([("workspace".to_owned(), workspace.into()), ("profile".to_owned(), profiles)]))
    }

    /// The manifest of a package with all other dependencies of this workspace.
    fn shared(&self) -> Result<Table> {
        let package = Table::from_iter([
            ("name".to_owned(), Value::from(SHARED)),
            ("edition".to_owned(), Value::from("2024")),
        ]);
        let others = self.dependencies()?;
        let others = others.filter(|(name, value)| !is_ours(value) && !NOT_BUILT.contains(&name.as_str()));
        let others = others.map(|(name, value)| (name.clone(), value.clone())).collect::<Table>();
        Ok(Table::from_iter([
            ("package".to_owned(), package.into()),
            ("dependencies".to_owned(), others.into()),
        ]))
    }

    fn dependencies(&self) -> Result<impl Iterator<Item = (&String, &Value)>> {
        let table = self.here["workspace"]["dependencies"].as_table();
        Ok(table.context("the workspace has dependencies")?.iter())
    }

    /// Builds all packages at once into the folder that a program of this workspace is from.
    pub(crate) fn build(&self, program: &Path) -> Result<Step> {
        let built = program.parent().context("a program is in a folder")?;
        let target = built.parent().context("a program is in a folder of a profile")?;
        let is_release = built.ends_with("release");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.arg("build").args(is_release.then_some("--release")).current_dir(&self.folder);
        // Everything is there: this workspace is built.
        command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
        Ok(Step::take(WIDE, "cargo build", command))
    }
}

/// Whether a dependency is a crate of this repository.
fn is_ours(dependency: &Value) -> bool {
    dependency.get("path").is_some()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
