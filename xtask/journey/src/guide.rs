//! Somebody who follows docs/guide.md, from photographs to a classifier in Python and in Rust.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::programmer::{Package, Workspace, block};
use crate::step::Step;
use crate::users::{Length, Settings};
use crate::{images, programmer};

const PAGE: &str = "docs/guide.md";
const USER: &str = "guide";
/// The program that the page prints.
const SCRIPT: &str = "classify.py";

const PHOTOS: usize = 200;
/// Labelled photographs of training and test together.
const LABELLED: usize = 150;
/// What the whole way may take.
const LONGEST: Duration = Duration::from_secs(600);

/// Follows the page, of which the whole way may take ten minutes. Its program in Python is left out if there is no
/// [`python`](Settings::python).
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
    if settings.length == Length::Whole {
        check_time(&mut steps);
    }
    Ok(steps)
}

/// Blames the last step if all took too long. How long a build takes depends on what is built already.
fn check_time(steps: &mut [Step]) {
    let ours = steps.iter().filter(|step| !step.command.starts_with("cargo build"));
    let time: Duration = ours.map(|step| step.time).sum();
    if let Some(last) = steps.last_mut().filter(|_| time > LONGEST) {
        let (took, most) = (time.as_secs_f64(), LONGEST.as_secs());
        last.problems.push(format!("all steps without builds took {took:.0} s, expected at most {most}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(command: &str, seconds: u64) -> Step {
        let time = Duration::from_secs(seconds);
        Step { command: command.into(), columns: 80, time, peak: None, problems: vec![], rows: vec![] }
    }

    #[test]
    fn a_way_of_more_than_ten_minutes_is_too_long() {
        let way = |pretraining| {
            let mut steps =
                [step("burn-ssl pretrain", pretraining), step("cargo build", 500), step("burn-ssl knn", 190)];
            check_time(&mut steps);
            steps.map(|step| step.problems)
        };
        assert_eq!(way(410), [const { Vec::<String>::new() }; 3]);
        let [first, build, last] = way(411);
        assert!(first.is_empty() && build.is_empty());
        assert_eq!(last, ["all steps without builds took 601 s, expected at most 600"]);
    }
}
