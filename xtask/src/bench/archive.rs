//! Archives measurements: raw figures, machine, versions and a summary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::environment::{self, Cap};
use super::{Common, Figures, figures, machine};

/// The figures of a benchmark, which are archived whenever one is added.
pub(super) struct Archive<'a> {
    name: String,
    common: &'a Common,
    /// The load average when the benchmark began.
    load_before: String,
    held: Held,
}

/// What a file holds.
#[derive(Default, Serialize, Deserialize)]
struct Held {
    setup: Value,
    /// The setups of earlier runs whose figures are here too, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Earlier>,
    figures: Vec<Figures>,
}

/// An earlier run that was continued.
#[derive(Serialize, Deserialize)]
struct Earlier {
    /// How many figures are its own.
    figures: usize,
    setup: Value,
}

impl<'a> Archive<'a> {
    /// An empty one, or the one that `--resume` names.
    pub(super) fn open(name: &str, common: &'a Common) -> Result<Self> {
        let words = [Some(name), common.tag.as_deref(), common.cap.map(Cap::word)];
        let name = words.into_iter().flatten().collect::<Vec<_>>().join("-");
        let load_before = machine::load_average();
        let mut archive = Self { name, common, load_before, held: Held::default() };
        let path = archive.folder().join(format!("{}.json", archive.name));
        if common.resume.is_some() && path.exists() {
            archive.go_on(&path, &setup_of(common))?;
        }
        Ok(archive)
    }

    /// Takes what an earlier run has measured, if `now` is a setup of the same kind.
    fn go_on(&mut self, path: &Path, now: &Value) -> Result<()> {
        let file = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        let mut held: Held =
            serde_json::from_str(&text).with_context(|| format!("{file} has no figures of this version"))?;
        machine::ensure_same(&held.setup, now).with_context(|| format!("cannot go on with {file}"))?;
        let known: usize = held.earlier.iter().map(|earlier| earlier.figures).sum();
        let figures = held.figures.len().saturating_sub(known);
        held.earlier.push(Earlier { figures, setup: std::mem::take(&mut held.setup) });
        self.held = held;
        Ok(())
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.held.figures.is_empty()
    }

    /// Measures a piece of work, unless it is there already.
    pub(super) fn measure(&mut self, work: &str, measure: impl FnOnce() -> Result<Figures>) -> Result<()> {
        if self.held.figures.iter().any(|figures| figures.work == work) {
            println!("already archived: {work}");
            return Ok(());
        }
        self.add(vec![measure()?])
    }

    /// Adds figures, and writes all of them if they are archived.
    pub(super) fn add(&mut self, figures: Vec<Figures>) -> Result<()> {
        self.held.figures.extend(figures);
        if self.common.archive.is_some() || self.common.resume.is_some() { self.write() } else { Ok(()) }
    }

    /// Markdown tables of all figures.
    pub(super) fn tables(&self) -> String {
        figures::tables(&self.held.figures)
    }

    /// Writes `<name>[-<tag>][-<cap>].{json,md}`.
    fn write(&mut self) -> Result<()> {
        self.held.setup = self.setup();
        let (folder, name) = (self.folder(), &self.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let raw = serde_json::to_string(&self.held)?;
        let raw_file = format!("{name}.json");
        // In two steps, so that an interrupted run leaves the figures of the one before.
        fs::write(folder.join(format!("{raw_file}.tmp")), raw + "\n")?;
        fs::rename(folder.join(format!("{raw_file}.tmp")), folder.join(&raw_file))?;
        let setup = serde_json::to_string_pretty(&self.held.setup)?;
        let tables = self.tables();
        let summary =
            format!("# {name}\n\n{tables}\n\nRaw figures: `{raw_file}`.\n\n```json\n{setup}\n```\n");
        fs::write(folder.join(format!("{name}.md")), summary)?;
        println!("Archived in {}", folder.display());
        Ok(())
    }

    fn setup(&self) -> Value {
        let mut setup = setup_of(self.common);
        setup["load_average_before"] = json!(self.load_before);
        setup["environment"] = json!(environment::inherited());
        setup["command"] = json!(command());
        setup
    }

    /// `<date>-<machine>` below docs/benchmarks, or below `results` of a pack, unless `--resume` names the folder.
    fn folder(&self) -> PathBuf {
        let Common { archive, pack, resume, .. } = self.common;
        if let Some(folder) = resume {
            return folder.clone();
        }
        let machine = archive.clone().filter(|name| !name.is_empty()).unwrap_or_else(machine::name);
        let name = format!("{}-{machine}", machine::said("date", &["+%F"]));
        match pack {
            Some(pack) => pack.join("results").join(name),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks").join(name),
        }
    }
}

fn setup_of(common: &Common) -> Value {
    machine::setup(common.baseline.as_deref(), common.pack.as_deref())
}

fn command() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("cargo xtask {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(folder: &Path) -> Common {
        let resume = Some(folder.to_owned());
        Common {
            baseline: None,
            rounds: 1,
            archive: None,
            resume,
            tag: None,
            pack: None,
            cap: None,
            no_build: true,
        }
    }

    fn figures(work: &str) -> Figures {
        let (ours, theirs) = (Vec::new(), Vec::new());
        Figures { work: work.into(), unit: "images/s".into(), per_run: None, operations: None, ours, theirs }
    }

    #[test]
    fn what_is_archived_is_not_measured_again_and_keeps_its_setup() {
        let folder = tempfile::tempdir().expect("a folder");
        let (common, path) = (common(folder.path()), folder.path().join("step.json"));
        let setup = json!({ "commit": "1a2b3c4", "load": "first" });
        let first = Held { setup: setup.clone(), earlier: Vec::new(), figures: vec![figures("a")] };
        fs::write(&path, serde_json::to_string(&first).expect("JSON")).expect("written");

        let mut archive = Archive {
            name: "step".into(),
            common: &common,
            load_before: String::new(),
            held: Held::default(),
        };
        archive.go_on(&path, &setup).expect("the same setup");
        archive.measure("a", || panic!("measured again")).expect("left out");
        archive.measure("b", || Ok(figures("b"))).expect("measured");
        archive.measure("c", || Ok(figures("c"))).expect("measured");

        let held: Held = serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("figures");
        assert_eq!(held.figures.iter().map(|figures| figures.work.as_str()).collect::<String>(), "abc");
        assert_eq!((held.earlier.len(), held.earlier[0].figures), (1, 1));
        assert_eq!((&held.earlier[0].setup, held.setup == setup), (&setup, false));
        let error = archive
            .go_on(&path, &json!({ "commit": "1a2b3c4", "cpu": "another" }))
            .expect_err("another machine");
        assert!(format!("{error:#}").contains("found another cpu"), "{error:#}");
    }
}
