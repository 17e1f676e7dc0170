//! Training trajectories: a few steps of a method, from given initial values over given views.

mod barlow_twins;
mod byol;
mod dino;
mod moco;
mod moco_v3;
mod simclr;
mod simsiam;
mod sup_con;
mod swav;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use serde::Deserialize;
use ssl_core::{Init, Progress, SslMethod, Views, named};
use ssl_testing::{Case, Outputs};
use ssl_train::{Gradients, Optimizer};

use super::Op;
use super::recipe::{EncoderSpec, LayerSpec, OptimizerSpec, Table};
use super::values::{array, data, device, gradient_arrays, load, loss_value, tensor};

pub(super) const OPS: &[(&str, Op)] = &[
    ("simclr", simclr::run),
    ("simclr_v2", simclr::run),
    ("moco_v1", moco::run),
    ("moco_v2", moco::run),
    ("moco_v3", moco_v3::run),
    ("byol", byol::run),
    ("simsiam", simsiam::run),
    ("sup_con", sup_con::run),
    ("swav", swav::run),
    ("dino", dino::run),
    ("barlow_twins", barlow_twins::run),
];

/// The parameters of a case that all methods have; what only some have, they read from the case.
#[derive(Debug, Deserialize)]
struct Recipe {
    encoder: EncoderSpec,
    #[serde(default)]
    projector: Vec<LayerSpec>,
    #[serde(default)]
    predictor: Vec<LayerSpec>,
    loss: BTreeMap<String, Table>,
    optimizer: OptimizerSpec,
    clip_per_parameter: Option<f64>,
    batching: String,
    views: usize,
    steps: usize,
    bn_eps: f64,
    bn_momentum: f64,
}

impl Recipe {
    fn of(case: &Case) -> Result<Self> {
        let recipe: Self = serde_json::from_value(case.params.clone())?;
        let batch_norm = (recipe.bn_eps, recipe.bn_momentum);
        ensure!(
            batch_norm == (1e-5, 0.1),
            "batch norm with {batch_norm:?}, expected eps 1e-5 and momentum 0.1"
        );
        Ok(recipe)
    }

    /// How views pass through the networks is part of a method here.
    fn expect_batching(&self, here: &str) -> Result<()> {
        ensure!(self.batching == here, "batching is {}, expected {here}", self.batching);
        Ok(())
    }

    /// A number of the loss at a step.
    fn loss(&self, name: &str, step: usize) -> Result<f64> {
        self.loss.get(name).with_context(|| format!("the loss has no parameter '{name}'"))?.at(step)
    }

    /// Where in the run a step is; the run is one epoch.
    fn progress(&self, step: usize) -> Progress {
        Progress { step: step as u64, total_steps: self.steps as u64, steps_per_epoch: self.steps as u64 }
    }
}

/// The momentum of the teacher per step; when it is averaged is part of a method here.
fn teacher_momentum(case: &Case, when: &str) -> Result<Table> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ema {
        momentum: Table,
        when: String,
    }
    let ema: Ema = case.param("ema")?;
    ensure!(ema.when == when, "the teacher is averaged {}, expected {when}", ema.when);
    Ok(ema.momentum)
}

/// Steps at the start in which the parameters under `prefix`, and no others, are frozen.
fn frozen_steps(case: &Case, prefix: &str) -> Result<usize> {
    let mut steps: BTreeMap<String, usize> = case.param("freeze_first_steps")?;
    let of_prefix = steps.remove(prefix).with_context(|| format!("no frozen steps for '{prefix}'"))?;
    ensure!(steps.is_empty(), "frozen steps for {:?}, expected '{prefix}' alone", steps.keys());
    Ok(of_prefix)
}

/// Where the initial values of a student go; they are overwritten by those of the case.
fn init() -> Result<Init> {
    Ok(Init::new(0, &device()?.autodiff()))
}

/// Runs the steps of a case in the order of [`SslMethod`]'s documentation.
///
/// - `student`: of the right structure; its values are those of the case
/// - `state`: the state at the start, from the student at the start
/// - `method_at`: the method with the constants of a step, and the place in the run that stands for this step
fn trajectory<M: SslMethod>(
    case: &Case,
    recipe: &Recipe,
    student: M::Student,
    state: impl FnOnce(&M::Student) -> Result<M::State>,
    method_at: impl Fn(usize) -> Result<(M, Progress)>,
) -> Result<Outputs> {
    let mut student = load(student, case, student_name)?;
    let mut state = state(&student)?;
    let mut optimizer = Optimizer::new(recipe.optimizer.config()?);
    let mut outputs = Outputs::new();
    for t in 0..recipe.steps {
        let (method, at) = method_at(t)?;
        let rules = method.gradient_rules(at);
        (student, state) = method.before_step(student, state, at);
        let step = method.loss(&student, &state, &views(case, recipe, t)?, at);
        outputs.insert(format!("loss.{t}"), loss_value(&step.loss));
        let mut gradients = Gradients::of(step.loss.backward(), &student);
        for (path, array) in gradient_arrays(&gradients, &student)? {
            outputs.insert(format!("grad.{t}.{}", student_name(&path)), array);
        }
        if let Some(max_norm) = recipe.clip_per_parameter {
            gradients.clip_each(max_norm);
        }
        gradients.drop_frozen(&rules);
        state = method.absorb(state, step.carry);
        student = optimizer.step(student, gradients, recipe.optimizer.rates(t)?, &rules);
        state = method.after_step(&student, state, at);
    }
    let student = named::collect(&student);
    outputs.extend(
        student.iter().map(|(path, data)| (format!("final.student.{}", student_name(path)), array(data))),
    );
    let state = named::collect(&state);
    outputs.extend(state.iter().map(|(path, data)| (format!("final.{}", state_name(path)), array(data))));
    Ok(outputs)
}

fn views(case: &Case, recipe: &Recipe, step: usize) -> Result<Views> {
    let crops = (0..recipe.views).map(|view| tensor::<4>(case, &format!("views.{step}.{view}")));
    let labels = case.tensor(&format!("labels.{step}")).ok().map(data);
    let device = device()?;
    Ok(Views {
        crops: crops.collect::<Result<_>>()?,
        global: recipe.views.min(2),
        labels: labels.map(|labels| Tensor::from_data(labels, &device)),
    })
}

/// The name in a case of the tensor at a path of a student: the suite leaves out `layers` in heads.
fn student_name(path: &str) -> String {
    if path.starts_with("encoder.") {
        return path.to_owned();
    }
    path.replacen(".mlp.layers.", ".", 1).replacen(".layers.", ".", 1)
}

/// The name in a case of the tensor at a path of a state: a teacher's network, a queue, a centre.
fn state_name(path: &str) -> String {
    match path.strip_prefix("teacher.network.") {
        Some(path) => format!("teacher.{}", student_name(path)),
        None => path.replace("queue.rows", "queue").replace("queue.next", "queue_ptr"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_the_names_of_the_suite() {
        assert_eq!(student_name("projector.layers.0.linear.weight"), "projector.0.linear.weight");
        assert_eq!(student_name("head.mlp.layers.2.linear.bias"), "head.2.linear.bias");
        assert_eq!(student_name("encoder.layer1.0.conv1.weight"), "encoder.layer1.0.conv1.weight");
        assert_eq!(
            state_name("teacher.network.projector.layers.1.norm.bias"),
            "teacher.projector.1.norm.bias"
        );
        assert_eq!(state_name("queue.next"), "queue_ptr");
        assert_eq!(state_name("center"), "center");
    }
}
