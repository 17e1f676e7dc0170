//! Archives measurements: raw figures, machine, versions and a summary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::environment::{self, Cap};
use super::{Common, Figures, machine};

/// Writes `<date>-<machine>/<name>[-<tag>][-<cap>].{json,md}` below docs/benchmarks, or below `results` of a pack;
/// `load_before` is the load average when the benchmark began.
pub(super) fn archive(
    name: &str,
    common: &Common,
    figures: &[Figures],
    tables: &str,
    load_before: &str,
) -> Result<()> {
    let folder = folder(common);
    let words = [Some(name), common.tag.as_deref(), common.cap.map(Cap::word)];
    let name = words.into_iter().flatten().collect::<Vec<_>>().join("-");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut setup = machine::setup(common);
    setup["load_average_before"] = json!(load_before);
    setup["environment"] = json!(environment::inherited());
    setup["command"] = json!(command());
    let raw = serde_json::to_string(&json!({ "setup": setup, "figures": figures }))?;
    fs::write(folder.join(format!("{name}.json")), raw + "\n")?;
    let setup = serde_json::to_string_pretty(&setup)?;
    let summary = format!("# {name}\n\n{tables}\n\nRaw figures: `{name}.json`.\n\n```json\n{setup}\n```\n");
    fs::write(folder.join(format!("{name}.md")), summary)?;
    println!("\nArchived in {}", folder.display());
    Ok(())
}

fn command() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("cargo xtask {words}")
}

fn folder(common: &Common) -> PathBuf {
    let machine = common.archive.clone().filter(|name| !name.is_empty()).unwrap_or_else(machine::name);
    let name = format!("{}-{machine}", machine::said("date", &["+%F"]));
    match &common.pack {
        Some(pack) => pack.join("results").join(name),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks").join(name),
    }
}
