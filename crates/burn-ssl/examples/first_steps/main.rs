//! Records the first steps of a run, so that another implementation can repeat them from the same weights.
//!
//! ```sh
//! cargo run -p burn-ssl --example first_steps -- --recipe simclr/cifar10 --data cifar10-train.tar \
//!     --set encoder.width=16 --set schedule.batch_size=64 --steps 20 --out steps.safetensors
//! ```
//!
//! The run is that of [`pretrain`](burn_ssl::pretrain), with its loader, optimizer, schedules and order of a step. The file has
//!
//! | tensor | |
//! |---|---|
//! | `init.student.<path>`, `init.state.<path>` | what the run starts from, by path |
//! | `end.student.<path>`, `end.state.<path>` | what the last of the steps leaves |
//! | `views.<step>.<i>`, `labels.<step>` | views as the network sees them, `[batch, 3, size, size]`; classes, where the data has them |
//! | `aux.<step>.shuffle.<i>` | the order in which MoCo encodes the i-th keys of the step, `[batch]` |
//! | `aux.<step>.ids_keep`, `mask`, `ids_context`, `ids_target` | masks, as in the conformance suite |
//! | `aux.<step>.slices` | LeJEPA's directions before they get unit length, `[dim, slice]` |
//! | `loss.<step>` | `[1]` |
//!
//! and in its metadata, under `burn-ssl`, a JSON object: the resolved `recipe`, `lr` of every step, `steps_per_epoch`,
//! `total_steps`, `device`. `xtask/baseline/first_steps.py` reads it.
//!
//! `--start EARLIER` starts from the final weights in another file, with a new optimizer. Fresh networks are so sensitive that
//! rounding alone makes two programs diverge within a few steps.

mod recording;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::TensorData;
use burn_ssl::core::named;
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::BatchConfig;

use recording::{Recording, Tape, Watch};

/// The name of the recorded method, which must not be one of the registry's.
const RECORDED: &str = "recorded";

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let options = Options::from_command_line()?;
    let recipe = options.recipe()?;
    ensure!(
        recipe.train == BatchConfig::default(),
        "the recipe takes a batch in pieces, expected no section [train]"
    );
    let start = options.start.as_ref().map(|path| earlier(path)).transpose()?;
    let first_steps = FirstSteps { recipe: &recipe, options: &options, start: start.as_ref() };
    let tape = with_method(&recipe.method, &recipe.method_options, first_steps)??;
    let (found, expected) = (tape.lr.len() as u64, options.steps);
    ensure!(found == expected, "the run has {found} steps, expected at least --steps, {expected}");
    let metadata = serde_json::json!({
        "recipe": recipe,
        "lr": tape.lr,
        "steps_per_epoch": tape.steps_per_epoch,
        "total_steps": tape.total_steps,
        "device": options.device.to_string(),
    });
    let bytes = named::encode(&tape.tensors, &metadata.to_string());
    std::fs::write(&options.out, bytes).with_context(|| format!("cannot write {}", options.out.display()))
}

/// The tensors of an earlier file.
fn earlier(path: &Path) -> Result<BTreeMap<String, TensorData>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(named::decode(&bytes).with_context(|| path.display().to_string())?.0)
}

struct Options {
    recipe: String,
    assignments: Vec<String>,
    data: String,
    seed: Option<i64>,
    steps: u64,
    start: Option<PathBuf>,
    device: DeviceSpec,
    out: PathBuf,
}

impl Options {
    fn from_command_line() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let mut options = Self {
            recipe: String::new(),
            assignments: Vec::new(),
            data: "demo:train".into(),
            seed: None,
            steps: 20,
            start: None,
            device: DeviceSpec::Flex,
            out: PathBuf::from("steps.safetensors"),
        };
        for pair in words.chunks(2) {
            let [flag, value] = pair else { bail!("found {}, expected a value after it", pair[0]) };
            options.set(flag, value)?;
        }
        ensure!(!options.recipe.is_empty(), "there is no --recipe, expected a name such as simclr/cifar10");
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<()> {
        let number = || format!("{flag} is '{value}', expected a whole number");
        match flag {
            "--recipe" => self.recipe = value.to_owned(),
            "--set" => self.assignments.push(value.to_owned()),
            "--data" => self.data = value.to_owned(),
            "--seed" => self.seed = Some(value.parse().with_context(number)?),
            "--steps" => self.steps = value.parse().with_context(number)?,
            "--start" => self.start = Some(value.into()),
            "--device" => self.device = value.parse()?,
            "--out" => self.out = value.into(),
            _ => bail!(
                "found {flag}, expected --recipe, --set, --data, --seed, --steps, --start, --device or --out"
            ),
        }
        Ok(())
    }

    /// The resolved recipe, without an evaluation.
    fn recipe(&self) -> Result<Recipe> {
        let mut draft = Draft::open(&self.recipe)?;
        draft.set("data.path", self.data.as_str())?;
        if let Some(seed) = self.seed {
            draft.set("seed", seed)?;
        }
        self.assignments.iter().try_for_each(|assignment| draft.assign(assignment))?;
        let mut recipe = draft.finish()?;
        recipe.eval.test = None;
        Ok(recipe.resolved()?)
    }
}

/// The run of a method that is known at run time.
struct FirstSteps<'a> {
    recipe: &'a Recipe,
    options: &'a Options,
    start: Option<&'a BTreeMap<String, TensorData>>,
}

impl WithMethod<AnyEncoder> for FirstSteps<'_> {
    type Output = Result<Tape>;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Result<Tape> {
        let tape = RefCell::new(Tape::default());
        let folder = tempfile::tempdir()?;
        let device = self.options.device;
        let options = PretrainOptions { device, ..PretrainOptions::new(folder.path().join("run")) };
        let recipe = Recipe { method: RECORDED.into(), ..self.recipe.clone() };
        let shuffles = recipe.method_options.get("shuffle").and_then(toml::Value::as_bool).unwrap_or(false);
        let count = |key: &str| recipe.method_options.get(key)?.as_integer().map(|count| count as usize);
        let slices = count("slices").zip(count("output_dim")).map(|(slices, dim)| [dim, slices]);
        let (start, steps) = (self.start, self.options.steps);
        let build = |_: &toml::Table| Ok(Recording { method, tape: &tape, shuffles, slices, start, steps });
        let mut watch = Watch { tape: &tape, steps };
        pretrain_with(recipe.method_options.clone(), build, &recipe, &options, &mut watch)?;
        Ok(tape.into_inner())
    }
}
