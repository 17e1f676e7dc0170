//! DINO.

use anyhow::{Result, ensure};
use ssl_core::Progress;
use ssl_dino::{Dino, DinoConfig, DinoStudent};
use ssl_testing::{Case, Outputs};

use super::params::{ENDLESS, Params, Reads};
use super::teacher_temperatures::warm_ups;
use super::trajectory;
use crate::conformance::recipe::{HeadSpec, expect_layers, first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["student_temp", "teacher_temp", "center_momentum"];
    let others = &["head", "ema", "clip_per_parameter", "freeze_first_steps"];
    let params = Params::of(case, &Reads { batching: "multicrop", loss, others })?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let head: HeadSpec = case.param("head")?;
    let config = DinoConfig {
        freeze_last_layer_epochs: params.frozen_steps("head.last_layer.")?,
        ..DinoConfig::new()
            .with_hidden_dim(first_width(&head.layers)?)
            .with_bottleneck_dim(last_width(&head.layers)?)
            .with_output_dim(head.outputs)
    };
    ensure!(!head.train_g, "the lengths of prototypes are trained, expected fixed ones");
    let temperatures = params.all_steps("teacher_temp")?;
    let check = |student: &DinoStudent<_>| expect_layers(case, "head", &head.layers, &student.head.mlp);
    let method_at = |step| {
        let [teacher] = warm_ups([&temperatures], step);
        let config = DinoConfig {
            student_temperature: params.loss("student_temp", step)?,
            teacher_temperature: teacher.end,
            warmup_teacher_temperature: teacher.start,
            warmup_teacher_temperature_epochs: teacher.epochs,
            center_momentum: params.loss("center_momentum", step)?,
            teacher_momentum: momentum.at(step)?,
            ..config.clone()
        };
        // One step per epoch: temperatures and freezing depend on the epoch.
        let at = Progress { step: step as u64, total_steps: ENDLESS, steps_per_epoch: 1 };
        Ok((config.build()?, at))
    };
    trajectory::<Dino>(case, &params, check, method_at)
}
