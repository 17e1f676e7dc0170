//! DINO.

use anyhow::{Result, ensure};
use serde::Deserialize;
use ssl_core::Progress;
use ssl_dino::{Dino, DinoConfig, DinoHead, DinoState, DinoStudent, WeightNormLinear};
use ssl_encoders::AnyEncoder;
use ssl_testing::{Case, Outputs};

use super::{Recipe, frozen_steps, init, trajectory};
use crate::conformance::recipe::{LayerSpec, Table, mlp};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadSpec {
    layers: Vec<LayerSpec>,
    #[serde(rename = "out")]
    outputs: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmaSpec {
    momentum: Table,
    when: String,
}

/// A run of one step, so that the schedules of a configuration are at their start.
const START: Progress = Progress { step: 0, total_steps: 1, steps_per_epoch: 1 };

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("multicrop")?;
    let head: HeadSpec = case.param("head")?;
    let ema: EmaSpec = case.param("ema")?;
    ensure!(
        ema.when == "after_optimizer_step",
        "the average is made {}, expected after_optimizer_step",
        ema.when
    );
    let frozen = frozen_steps(case, "head.last_layer.")?;

    let mut init = init()?;
    let encoder = recipe.encoder.init(&mut init);
    let mlp = mlp(&head.layers, &mut init)?;
    let last_layer = WeightNormLinear::init(mlp.outputs(), head.outputs, &mut init);
    let student = DinoStudent { encoder, head: DinoHead { mlp, last_layer } };
    let method_at = |step| {
        let config = DinoConfig {
            student_temperature: recipe.loss("student_temp", step)?,
            teacher_temperature: recipe.loss("teacher_temp", step)?,
            center_momentum: recipe.loss("center_momentum", step)?,
            teacher_momentum: ema.momentum.at(step)?,
            freeze_last_layer_epochs: u64::from(step < frozen),
            ..DinoConfig::new()
        };
        Ok((config.build::<AnyEncoder>()?, START))
    };
    trajectory::<Dino<AnyEncoder>>(case, &recipe, student, |student| Ok(DinoState::new(student)), method_at)
}
