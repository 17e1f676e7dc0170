//! The page about a run in a browser.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use clap::Args;

/// What the script needs from npm.
const MODULES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];

/// Names under which Chromium is installed.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Arguments of `report-check`.
#[derive(Args)]
pub(crate) struct ReportCheck {
    /// Reports to look at beside the made one: a file, or KIND=FILE, where KIND is run, unlabelled, findings or several and says
    /// which sections there are.
    #[arg(value_name = "[KIND=]FILE")]
    reports: Vec<OsString>,
    /// Where screenshots go [default: target/report-check].
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
}

impl ReportCheck {
    /// Opens a page with made data, and the reports given, in headless Chromium: `xtask/report/check.mjs`.
    ///
    /// Without Chromium, Node or npm there is nothing to open it with: that is said, and is no error.
    pub(crate) fn run(self) -> Result<()> {
        let folder = self.screenshots.unwrap_or_else(|| PathBuf::from("target/report-check"));
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let Some(browser) = browser() else {
            return skipped("chromium is not installed (apt-get install chromium, or CHROMIUM=PATH)");
        };
        if !is_there("node") || !is_there("npm") {
            return skipped("node or npm is not installed");
        }
        let modules = folder.join("modules");
        if !modules.join("node_modules/axe-core").is_dir() && !install(&modules)? {
            return skipped("playwright-core and axe-core cannot be installed with npm");
        }
        let sample = folder.join("sample.html");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut example = Command::new(cargo);
        // With both layouts of the map.
        let of_sample = ["--package", "ssl-report", "--features", "tsne", "--example", "sample", "--"];
        example.args(["run", "--quiet"]).args(of_sample).arg(&sample);
        ensure!(example.status()?.success(), "the page with made data cannot be written");
        let mut check = Command::new("node");
        let mut made = OsString::from("made=");
        made.push(&sample);
        check.arg("xtask/report/check.mjs").args([&modules, &folder]).arg(made).args(&self.reports);
        ensure!(check.env("CHROMIUM", browser).status()?.success(), "the page has faults, see above");
        Ok(())
    }
}

fn skipped(reason: &str) -> Result<()> {
    println!("skipped: report-check, for {reason}");
    Ok(())
}

/// Whether npm could install what the script needs.
fn install(modules: &Path) -> Result<bool> {
    fs::create_dir_all(modules)?;
    fs::write(modules.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund"]).args(MODULES).current_dir(modules);
    Ok(npm.status()?.success())
}

/// The browser: the variable `CHROMIUM`, or one on the path.
fn browser() -> Option<PathBuf> {
    let given = env::var_os("CHROMIUM").map(PathBuf::from);
    given.or_else(|| BROWSERS.iter().find_map(on_path)).filter(|browser| browser.is_file())
}

fn is_there(program: &str) -> bool {
    on_path(&program).is_some()
}

fn on_path(program: &impl AsRef<OsStr>) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program.as_ref())).find(|file| file.is_file())
}
