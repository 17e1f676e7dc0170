//! A Rust programmer, who starts a package outside of this workspace.

mod project;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::Step;
use crate::users::{Length, Settings};
use crate::{documents, images};
pub(crate) use project::{Package, Workspace};

/// The page on methods of one's own, and the program that it quotes.
const GUIDE: (&str, &str) = ("docs/adding-a-method.md", "examples/custom-method");

/// The mark of what a programmer copies.
const USER: &str = "programmer";
/// Photographs of the short way: one batch for the programs of README and the guide, and no more.
const PHOTOS: usize = 128;

/// A programmer who copies manifest and code of README and of the guide, and runs them on rendered images and on a folder.
///
/// The paths of this repository take the place of its address. Everything else is built as a new user builds it; what both
/// builds share, such as Burn, is taken from the folder of the program.
///
/// # Errors
/// If the documents have other forms, or cargo cannot be started.
pub fn programmer(settings: &Settings) -> Result<Vec<Step>> {
    let readme = settings.read("README.md")?;
    let guide = settings.read(GUIDE.0)?;
    let workspace = Workspace::new(&settings.folder, &settings.repository)?;
    let quickstart = Package::of_page(&readme, USER)?;
    let method = Package::of_page(&guide, USER)?.with_files(&settings.repository.join(GUIDE.1))?;
    workspace.write(&[&quickstart, &method])?;
    let mut steps = vec![workspace.build(&settings.program)?];
    if steps[0].problems.is_empty() {
        steps.extend(settings.run(&readme, &quickstart)?);
        steps.extend(settings.run(&guide, &method)?);
    }
    Ok(steps)
}

impl Settings {
    /// Runs a program as a page says.
    fn run(&self, page: &str, package: &Package) -> Result<Vec<Step>> {
        let folder = self.folder.join(&package.name);
        images::photos(&folder.join("photos"), PHOTOS)?;
        let program = self.program.with_file_name(&package.name);
        let lines = calls(page, USER);
        let lines = lines.iter().filter(|line| self.length == Length::Whole || line.contains("photos"));
        let steps = lines.map(|line| run(&program, &folder, self, line));
        steps.collect::<Result<Vec<_>>>()
    }
}

fn run(program: &Path, folder: &Path, settings: &Settings, line: &str) -> Result<Step> {
    let arguments = line.split_once(" -- ").map_or("", |(_, arguments)| arguments);
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).current_dir(folder);
    let mut step = Step::take(settings.columns, line, command);
    step.check(folder, &[], &["loss ", " steps"]);
    Ok(step)
}

/// The calls of `cargo run` that a page prints for a user.
pub(crate) fn calls(page: &str, user: &str) -> Vec<String> {
    let blocks = documents::blocks(page, user);
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("cargo run "));
    lines.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned()).collect()
}

/// The one block of a page that is for a user and begins like this.
pub(crate) fn block(page: &str, user: &str, start: &str) -> Result<String> {
    let blocks = documents::blocks(page, user);
    let found = blocks.into_iter().find(|block| block.starts_with(start));
    found.with_context(|| format!("no block for the {user} begins with `{start}`"))
}
