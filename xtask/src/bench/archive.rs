//! Archives measurements: raw figures, machine, versions and a summary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::environment::{self, Cap};
use super::{Common, Figures, figures, machine};

/// The figures of a benchmark, which are archived whenever one is added.
pub(super) struct Archive {
    name: String,
    /// Where it is written; nowhere without `--archive` and `--resume`.
    folder: Option<PathBuf>,
    rounds: u32,
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

impl Archive {
    /// An empty one, or the one that `--resume` names.
    pub(super) fn open(name: &str, common: &Common) -> Result<Self> {
        let words = [Some(name), common.tag.as_deref(), common.cap.map(Cap::word)];
        let name = words.into_iter().flatten().collect::<Vec<_>>().join("-");
        let held = Held { setup: setup(common), ..Held::default() };
        let archive = Self { name, folder: folder(common)?, rounds: common.rounds, held };
        let Some(path) = archive.path().filter(|path| path.exists()) else { return Ok(archive) };
        let file = path.display();
        ensure!(
            common.resume.is_some(),
            "{file} is there: expected --resume to go on with its folder, or another --tag"
        );
        archive.going_on(&path).with_context(|| format!("cannot go on with {file}"))
    }

    /// With what an earlier run has measured, if that had the same setup.
    fn going_on(mut self, path: &Path) -> Result<Self> {
        let mut held: Held =
            serde_json::from_str(&fs::read_to_string(path)?).context("expected figures of this version")?;
        machine::ensure_same(&held.setup, &self.held.setup)?;
        let known: usize = held.earlier.iter().map(|earlier| earlier.figures).sum();
        let figures = held.figures.len().saturating_sub(known);
        let setup = std::mem::replace(&mut held.setup, self.held.setup);
        held.earlier.push(Earlier { figures, setup });
        self.held = held;
        Ok(self)
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}.json", self.name)))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.held.figures.is_empty()
    }

    /// Measures a piece of work on `sides`, unless it is there already.
    ///
    /// # Errors
    /// If it is there with other sides or another number of rounds.
    pub(super) fn measure(
        &mut self,
        work: &str,
        sides: &[String],
        measure: impl FnOnce() -> Result<Figures>,
    ) -> Result<()> {
        let Some(there) = self.held.figures.iter().find(|figures| figures.work == work) else {
            return self.add(vec![measure()?]);
        };
        let (found, rounds) = (there.sides(), there.rounds());
        ensure!(
            found == sides && rounds == self.rounds as usize,
            "'{work}' has {rounds} rounds of {}, expected {} of {}: repeat the options of the run to go on with",
            found.join(", "),
            self.rounds,
            sides.join(", ")
        );
        println!("already archived: {work}");
        Ok(())
    }

    /// Adds figures, and writes all of them if they are archived.
    pub(super) fn add(&mut self, figures: Vec<Figures>) -> Result<()> {
        self.held.figures.extend(figures);
        match self.path() {
            Some(path) => self.write(&path).with_context(|| format!("cannot write {}", path.display())),
            None => Ok(()),
        }
    }

    /// Markdown tables of all figures.
    pub(super) fn tables(&self) -> String {
        figures::tables(&self.held.figures)
    }

    /// Writes `<name>[-<tag>][-<cap>].{json,md}`.
    fn write(&mut self, path: &Path) -> Result<()> {
        self.held.setup["load_average"] = json!(machine::load_average());
        ssl_files::write(path, (serde_json::to_string(&self.held)? + "\n").as_bytes())?;
        let name = &self.name;
        let (tables, setup) = (self.tables(), serde_json::to_string_pretty(&self.held.setup)?);
        let earlier = match self.held.earlier.len() {
            0 => String::new(),
            runs => format!(" It has the setups of {runs} earlier runs too, whose rows come first."),
        };
        let summary = format!(
            "# {name}\n\n{tables}\n\nRaw figures: `{name}.json`.{earlier}\n\n```json\n{setup}\n```\n"
        );
        ssl_files::write(&path.with_extension("md"), summary.as_bytes())?;
        println!("Archived in {}", path.display());
        Ok(())
    }
}

/// Machine and versions when the benchmark begins, and what the figures may depend on.
fn setup(common: &Common) -> Value {
    let mut setup = machine::setup(common.baseline.as_deref(), common.pack.as_deref());
    setup["load_average_before"] = setup["load_average"].clone();
    setup["environment"] = json!(environment::inherited());
    setup["command"] = json!(command());
    setup
}

/// `<date>-<machine>` below docs/benchmarks, or below `results` of a pack, unless `--resume` names the folder.
fn folder(common: &Common) -> Result<Option<PathBuf>> {
    let Common { archive, pack, resume, .. } = common;
    if let Some(folder) = resume {
        ensure!(folder.is_dir(), "there is no folder {} to go on with", folder.display());
        return Ok(Some(folder.clone()));
    }
    let Some(machine) = archive else { return Ok(None) };
    let machine = if machine.is_empty() { machine::name() } else { machine.clone() };
    let name = format!("{}-{machine}", machine::said("date", &["+%F"]));
    Ok(Some(match pack {
        Some(pack) => pack.join("results").join(name),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks").join(name),
    }))
}

fn command() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("cargo xtask {words}")
}

#[cfg(test)]
mod tests {
    use super::super::figures::Side;
    use super::*;

    /// One round of `flex` alone.
    fn figures(work: &str) -> Figures {
        let mut flex = Side::new("flex");
        flex.take(1.0, &Value::Null, None).expect("no cap");
        let (ours, theirs) = (vec![flex], Vec::new());
        Figures { work: work.into(), unit: "images/s".into(), per_run: None, operations: None, ours, theirs }
    }

    fn archive(folder: &Path, setup: &Value) -> Archive {
        let held = Held { setup: setup.clone(), ..Held::default() };
        Archive { name: "step".into(), folder: Some(folder.to_owned()), rounds: 1, held }
    }

    #[test]
    fn what_is_archived_is_not_measured_again_and_keeps_its_setup() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("step.json");
        let setup = |command: &str| json!({ "commit": "1a2b3c4", "command": command });
        let flex = ["flex".to_owned()];
        let mut first = archive(folder.path(), &setup("first"));
        first.measure("a", &flex, || Ok(figures("a"))).expect("measured");

        let mut second =
            archive(folder.path(), &setup("second")).going_on(&path).expect("the same kind of setup");
        second.measure("a", &flex, || panic!("measured again")).expect("left out");
        second.measure("b", &flex, || Ok(figures("b"))).expect("measured");
        second.measure("c", &flex, || Ok(figures("c"))).expect("measured");
        let held: Held = serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("figures");
        assert_eq!(held.figures.iter().map(|figures| figures.work.as_str()).collect::<String>(), "abc");
        assert_eq!((held.earlier.len(), held.earlier[0].figures), (1, 1));
        assert_eq!(
            (&held.earlier[0].setup["command"], &held.setup["command"]),
            (&json!("first"), &json!("second"))
        );

        let sides = ["flex".to_owned(), "tch".to_owned()];
        let error =
            second.measure("a", &sides, || panic!("measured again")).expect_err("other sides").to_string();
        assert!(error.starts_with("'a' has 1 rounds of flex, expected 1 of flex, tch: "), "{error}");
        let other = json!({ "commit": "1a2b3c4", "cpu": "another" });
        let error =
            archive(folder.path(), &other).going_on(&path).err().expect("another machine").to_string();
        assert!(error.starts_with("found another cpu"), "{error}");
    }
}
