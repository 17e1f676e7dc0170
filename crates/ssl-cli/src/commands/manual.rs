//! Completions of shells, and manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;
use crate::output::{print, write};

pub(super) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "burn-ssl", &mut script);
    write(&script)
}

/// Prints the main page, or writes all pages into a folder.
pub(super) fn pages(out: Option<&Path>, overwrite: bool, json: bool) -> Result<()> {
    let mut command = Args::command();
    command.build();
    let Some(folder) = out else { return write(&page(&command)?.1) };
    let mut all = vec![page(&command)?];
    for command in command.get_subcommands() {
        all.push(page(command)?);
    }
    let paths: Vec<PathBuf> = all.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| !overwrite && path.exists()) {
        bail!("{} already exists: expected a new file; try --overwrite", path.display());
    }
    let failed = |error| anyhow!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    for (path, (_, page)) in paths.iter().zip(&all) {
        fs::write(path, page).map_err(failed)?;
    }
    print(
        json,
        &serde_json::json!({ "pages": paths }),
        format!("{} pages in {}", all.len(), folder.display()),
    )
}

/// The name and the text of a page.
fn page(command: &Command) -> Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((man.get_filename(), text))
}
