//! Somebody who follows docs/guide.md, from photographs to a classifier in Python and in Rust.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::programmer::{Package, Workspace, block};
use crate::step::Step;
use crate::users::Settings;
use crate::{images, programmer};

const PAGE: &str = "docs/guide.md";
const USER: &str = "guide";
/// The program that the page prints.
const SCRIPT: &str = "classify.py";

const PHOTOS: usize = 200;
/// Labelled photographs of training and test together.
const LABELLED: usize = 150;

/// Follows the page. Its program in Python is left out if there is no [`python`](Settings::python).
///
/// # Errors
/// If images or the page cannot be read or written.
pub fn guide(settings: &Settings) -> Result<Vec<Step>> {
    settings.take_photos(PHOTOS)?;
    images::labelled(&settings.folder.join("labelled"), settings.count(LABELLED))?;
    let page = settings.read(PAGE)?;
    let mut steps = settings.walk(PAGE, USER)?;
    steps.extend(settings.python.as_deref().map(|python| in_python(settings, &page, python)).transpose()?);
    steps.extend(in_rust(settings, &page)?);
    Ok(steps)
}

/// Runs the program that the page prints, which has to name the class that the tool named.
fn in_python(settings: &Settings, page: &str, python: &Path) -> Result<Step> {
    fs::write(settings.folder.join(SCRIPT), block(page, USER, "import ")?)?;
    let mut command = Command::new(python);
    command.args([SCRIPT, "cat.jpg"]).current_dir(&settings.folder);
    let mut step = Step::take(settings.columns, "python classify.py cat.jpg", command);
    let class = class_of_first(&settings.folder)?;
    step.check(&settings.folder, &[], &[&format!("cat.jpg: {class} (")]);
    Ok(step)
}

/// The class of the first photograph, which is the one called `cat.jpg`, in the tool's table.
fn class_of_first(folder: &Path) -> Result<String> {
    let table = fs::read_to_string(folder.join("classes.csv")).context("no classes.csv")?;
    let mut rows: Vec<&str> = table.lines().skip(1).collect();
    rows.sort_unstable();
    let class = rows.first().and_then(|row| row.split(',').nth(1));
    Ok(class.context("classes.csv has no row")?.to_owned())
}

/// Builds the package that the page prints, and runs it as the page says.
fn in_rust(settings: &Settings, page: &str) -> Result<Vec<Step>> {
    let package = Package::of_page(page, USER)?;
    let workspace = Workspace::new(&settings.folder, &settings.repository)?;
    workspace.write(&[&package])?;
    let mut steps = vec![workspace.build(&settings.program)?];
    if steps[0].problems.is_empty() {
        for line in programmer::calls(page, USER) {
            let mut command = Command::new(settings.program.with_file_name(&package.name));
            let arguments = line.split_once(" -- ").map_or("", |(_, arguments)| arguments);
            command.args(arguments.split_whitespace()).current_dir(&settings.folder);
            let mut step = Step::take(settings.columns, &line, command);
            step.check(&settings.folder, &[], &[&format!(": {} (", class_of_first(&settings.folder)?)]);
            steps.push(step);
        }
    }
    Ok(steps)
}
