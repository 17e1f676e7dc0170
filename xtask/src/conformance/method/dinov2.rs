//! DINOv2.

use anyhow::{Context, Result, bail};
use ssl_core::Progress;
use ssl_dinov2::{Centering, DinoV2, DinoV2Config, DinoV2Student};
use ssl_encoders::AnyEncoder;
use ssl_testing::{Case, Outputs};

use super::params::{ENDLESS, Params, Reads};
use super::teacher_temperatures::warm_ups;
use super::trajectory;
use crate::conformance::recipe::{HeadSpec, expect_layers, first_width, last_width};

const LOSS: [&str; 8] = [
    "student_temp",
    "teacher_temp",
    "centering",
    "center_momentum",
    "iterations",
    "dino_weight",
    "ibot_weight",
    "koleo_weight",
];

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let others = &["head", "patch_head", "ema", "clip_groups"];
    let params = Params::of(case, &Reads { batching: "tokens", loss: &LOSS, others })?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let temperatures = params.all_steps("teacher_temp")?;
    let config = config(case, &params)?;
    let method_at = |step| {
        let [teacher] = warm_ups([&temperatures], step);
        let config = DinoV2Config {
            student_temperature: params.loss("student_temp", step)?,
            teacher_temperature: teacher.end,
            warmup_teacher_temperature: teacher.start,
            warmup_teacher_temperature_epochs: teacher.epochs,
            class_weight: params.loss("dino_weight", step)?,
            patch_weight: params.loss("ibot_weight", step)?,
            koleo_weight: params.loss("koleo_weight", step)?,
            teacher_momentum: momentum.at(step)?,
            ..config.clone()
        };
        // One step per epoch: temperatures and held rates depend on the epoch.
        let at = Progress { step: step as u64, total_steps: ENDLESS, steps_per_epoch: 1 };
        Ok((config.build()?, at))
    };
    trajectory::<DinoV2>(case, &params, |student| check(case, student), method_at)
}

/// The configuration with what does not change from step to step.
fn config(case: &Case, params: &Params) -> Result<DinoV2Config> {
    let head: HeadSpec = case.param("head")?;
    let config = DinoV2Config::new()
        .with_freeze_last_layer_epochs(params.held_steps("head.last_layer.")?)
        .with_train_prototype_lengths(head.train_g)
        .with_head_layers(head.layers.len())
        .with_hidden_dim(first_width(&head.layers)?)
        .with_bottleneck_dim(last_width(&head.layers)?)
        .with_output_dim(head.outputs);
    let config = match patch_head(case)? {
        None => config,
        Some(own) => config
            .with_separate_patch_head(true)
            .with_patch_head_layers(own.layers.len())
            .with_patch_hidden_dim(first_width(&own.layers)?)
            .with_patch_bottleneck_dim(last_width(&own.layers)?)
            .with_patch_output_dim(own.outputs),
    };
    Ok(match params.name("centering")? {
        "sinkhorn" => {
            let rounds = params.loss("iterations", 0)? as usize;
            config.with_centering(Centering::Sinkhorn).with_sinkhorn_iterations(rounds)
        }
        "centering" => config.with_center_momentum(params.loss("center_momentum", 0)?),
        other => bail!("centering is '{other}', expected centering or sinkhorn"),
    })
}

fn patch_head(case: &Case) -> Result<Option<HeadSpec>> {
    let spec = case.params.get("patch_head").filter(|spec| !spec.is_null());
    Ok(spec.map(|spec| serde_json::from_value(spec.clone())).transpose()?)
}

fn check(case: &Case, student: &DinoV2Student<AnyEncoder>) -> Result<()> {
    let head: HeadSpec = case.param("head")?;
    expect_layers(case, "head", &head.layers, &student.head.mlp)?;
    let Some(own) = patch_head(case)? else { return Ok(()) };
    let built = student.patch_head.as_ref().context("the method has no head for patches alone")?;
    expect_layers(case, "patch_head", &own.layers, &built.mlp)
}
