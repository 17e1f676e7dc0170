//! The parameters of a case's run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ssl_core::{GradientRules, Mlp, Progress, named};
use ssl_testing::Case;

use super::student_name;
use crate::conformance::optimizer::{OptimizerSpec, Table};
use crate::conformance::recipe::{EncoderSpec, LayerSpec, expect_layers};

/// The parameters that every trajectory has.
const COMMON: [&str; 11] = [
    "batch",
    "batching",
    "bn_eps",
    "bn_momentum",
    "encoder",
    "local_size",
    "loss",
    "method",
    "optimizer",
    "steps",
    "views",
];

/// The length of a run so long that the teacher's momentum has not begun to rise, and so is the configured one.
pub(super) const ENDLESS: u64 = 1 << 40;

/// What a method reads from a case besides [`COMMON`]; a parameter that it does not read is an error.
pub(super) struct Reads {
    /// How views pass through the networks; here, this is part of a method.
    pub(super) batching: &'static str,
    /// Numbers of the loss.
    pub(super) loss: &'static [&'static str],
    /// Other parameters.
    pub(super) others: &'static [&'static str],
}

/// The parameters of a case that several methods share; a method reads its own from the case.
#[derive(Debug, Deserialize)]
pub(super) struct Params {
    pub(super) encoder: EncoderSpec,
    #[serde(default)]
    pub(super) projector: Vec<LayerSpec>,
    /// Empty for a predictor of tokens, which is no list of layers.
    #[serde(default, deserialize_with = "layers")]
    pub(super) predictor: Vec<LayerSpec>,
    /// Without terms that have parameters of their own, see [`term`](Self::term).
    #[serde(deserialize_with = "numbers")]
    loss: BTreeMap<String, Table>,
    pub(super) optimizer: OptimizerSpec,
    pub(super) clip_per_parameter: Option<f64>,
    pub(super) clip_groups: Option<ClipGroups>,
    ema: Option<Average>,
    /// Name prefixes of what is never trained.
    #[serde(default)]
    pub(super) frozen: Vec<String>,
    /// The number of steps at the start in which something is not trained, by name prefix.
    #[serde(default)]
    freeze_first_steps: BTreeMap<String, usize>,
    pub(super) batch: usize,
    pub(super) views: usize,
    pub(super) steps: usize,
    batching: String,
    bn_eps: f64,
    bn_momentum: f64,
}

/// The parts of a student that are clipped by norms of their own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClipGroups {
    /// Prefixes of names, with a dot at their end.
    groups: Vec<Vec<String>>,
    pub(super) max_norm: f64,
}

impl ClipGroups {
    /// The groups as our optimizer has them: parts of paths, without the dot.
    pub(super) fn groups(&self) -> Vec<Vec<String>> {
        let part = |prefix: &String| prefix.strip_suffix('.').unwrap_or(prefix).to_owned();
        self.groups.iter().map(|group| group.iter().map(part).collect()).collect()
    }
}

/// When a teacher is averaged, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Average {
    momentum: Table,
    when: String,
}

impl Params {
    /// The parameters of a case, after checking them against what a method `reads`.
    pub(super) fn of(case: &Case, reads: &Reads) -> Result<Self> {
        let keys = case.params.as_object().context("the parameters are not an object")?.keys();
        for key in keys.map(String::as_str) {
            let is_read = COMMON.contains(&key) || reads.others.contains(&key);
            ensure!(is_read, "the case has a parameter '{key}', which this method does not read");
        }
        let params: Self = serde_json::from_value(case.params.clone())?;
        for key in case.params["loss"].as_object().into_iter().flat_map(|loss| loss.keys()) {
            ensure!(
                reads.loss.contains(&key.as_str()),
                "the loss has a parameter '{key}', which this method does not read"
            );
        }
        let batch_norm = (params.bn_eps, params.bn_momentum);
        ensure!(
            batch_norm == (1e-5, 0.1),
            "batch norm with {batch_norm:?}, expected eps 1e-5 and momentum 0.1"
        );
        let (batching, here) = (&params.batching, reads.batching);
        ensure!(batching == here, "batching is {batching}, expected {here}");
        Ok(params)
    }

    /// A number of the loss at a step.
    pub(super) fn loss(&self, name: &str, step: usize) -> Result<f64> {
        self.loss.get(name).with_context(|| format!("the loss has no parameter '{name}'"))?.at(step)
    }

    /// A term of the loss of a case that has parameters of its own; `None` if the loss lacks it.
    pub(super) fn term<T: DeserializeOwned>(case: &Case, name: &str) -> Result<Option<T>> {
        Ok(case.params["loss"].get(name).map(T::deserialize).transpose()?)
    }

    /// A flag of the loss.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.loss.get(name) {
            Some(Table::Flag(flag)) => Ok(*flag),
            other => bail!("'{name}' of the loss is {other:?}, expected true or false"),
        }
    }

    /// A name of the loss.
    pub(super) fn name(&self, name: &str) -> Result<&str> {
        match self.loss.get(name) {
            Some(Table::Text(text)) => Ok(text),
            other => bail!("'{name}' of the loss is {other:?}, expected a name"),
        }
    }

    /// The values of a number of the loss at all steps.
    pub(super) fn all_steps(&self, name: &str) -> Result<Vec<f64>> {
        (0..self.steps).map(|step| self.loss(name, step)).collect()
    }

    /// Steps at the start in which parameters under `prefix` have a learning rate of 0.
    pub(super) fn held_steps(&self, prefix: &str) -> Result<u64> {
        let held = |step: &usize| self.optimizer.has_zero_rate(prefix, *step);
        let mut steps = 0;
        while steps < self.steps && held(&steps)? {
            steps += 1;
        }
        Ok(steps as u64)
    }

    /// The point in the run of a step; the run is one epoch.
    pub(super) fn progress(&self, step: usize) -> Progress {
        Progress { step: step as u64, total_steps: self.steps as u64, steps_per_epoch: self.steps as u64 }
    }

    /// The momentum of the teacher per step; when to average is part of a method here.
    ///
    /// The suite's momenta (0.9, 0.95, 0.98 and the like) lie on no cosine that ends at 1, so no schedule of a method gives
    /// them: each step gets a method whose momentum is the constant of that step. The schedule itself is checked by the
    /// cases of `schedule_ema_cosine`, and the tests of each crate check that its method follows it.
    pub(super) fn teacher_momentum(&self, when: &str) -> Result<&Table> {
        let average = self.ema.as_ref().context("no average for the teacher")?;
        ensure!(average.when == when, "the teacher is averaged {}, expected {when}", average.when);
        Ok(&average.momentum)
    }

    /// Steps at the start in which parameters under `prefix` are not trained.
    pub(super) fn frozen_steps(&self, prefix: &str) -> Result<u64> {
        let steps = self.freeze_first_steps.get(prefix);
        Ok(*steps.with_context(|| format!("no frozen steps for '{prefix}'"))? as u64)
    }

    /// Compares the projector and predictor that a method built with those of the case.
    pub(super) fn expect_heads(&self, case: &Case, projector: &Mlp, predictor: Option<&Mlp>) -> Result<()> {
        expect_layers(case, "projector", &self.projector, projector)?;
        if let Some(predictor) = predictor {
            return expect_layers(case, "predictor", &self.predictor, predictor);
        }
        ensure!(self.predictor.is_empty(), "the case has a predictor, but this method has none");
        Ok(())
    }

    /// Compares the exceptions that a method makes for parameters at a step with those of the case.
    pub(super) fn expect_rules(
        &self,
        step: usize,
        rules: &GradientRules,
        student: &impl Module,
    ) -> Result<()> {
        let trained = trained(student);
        for path in named::collect(student).into_keys().filter(|path| !named::is_buffer(path)) {
            let name = student_name(&path);
            let (found, expected) = (rules.is_frozen(&path), self.is_frozen(&name, step));
            // What has no gradient needs no rule.
            let is_fixed = expected && !trained.contains(&path);
            ensure!(
                found == expected || is_fixed,
                "at step {step} '{name}' is frozen: {found}, expected {expected}"
            );
            let (found, expected) = (rules.has_constant_lr(&path), self.optimizer.has_constant_rate(&name)?);
            ensure!(found == expected, "'{name}' keeps its learning rate: {found}, expected {expected}");
            let (found, expected) = (rules.has_zero_lr(&path), self.optimizer.has_zero_rate(&name, step)?);
            ensure!(
                found == expected,
                "at step {step} the learning rate of '{name}' is 0: {found}, expected {expected}"
            );
        }
        Ok(())
    }

    fn is_frozen(&self, name: &str, step: usize) -> bool {
        let at_first = self.freeze_first_steps.iter().filter(|(_, steps)| step < **steps);
        let prefixes = self.frozen.iter().chain(at_first.map(|(prefix, _)| prefix));
        prefixes.into_iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// The parameters that are numbers or flags, or one per step.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Table>, D::Error> {
    let all = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let numbers = all.into_iter().filter(|(_, value)| !value.is_object());
    numbers.map(|(name, value)| Ok((name, Table::deserialize(value).map_err(D::Error::custom)?))).collect()
}

/// The layers of a list; none of another description, which a method reads from the case.
fn layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerSpec>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(_) => Ok(Vec::new()),
        list => serde_json::from_value(list).map_err(D::Error::custom),
    }
}

/// The paths of the parameters that get a gradient.
fn trained(module: &impl Module) -> BTreeSet<String> {
    let mut trained = Trained::default();
    module.visit(&mut trained);
    trained.paths
}

#[derive(Default)]
struct Trained {
    path: named::Path,
    paths: BTreeSet<String>,
}

impl ModuleVisitor for Trained {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.paths.insert(self.path.join());
        }
    }
}
