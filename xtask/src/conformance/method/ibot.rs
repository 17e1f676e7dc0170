//! iBOT.

use anyhow::Result;
use ssl_core::Progress;
use ssl_ibot::{IBot, IBotConfig, IBotStudent};
use ssl_testing::{Case, Outputs};

use super::params::{ENDLESS, Params, Reads};
use super::teacher_temperatures::warm_ups;
use super::trajectory;
use crate::conformance::recipe::{HeadSpec, expect_layers, first_width, last_width};

const LOSS: [&str; 7] = [
    "student_temp",
    "teacher_temp",
    "teacher_patch_temp",
    "center_momentum",
    "patch_center_momentum",
    "lambda1",
    "lambda2",
];

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let others = &["head", "ema", "clip_per_parameter", "freeze_first_steps"];
    let params = Params::of(case, &Reads { batching: "tokens", loss: &LOSS, others })?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let head: HeadSpec = case.param("head")?;
    let config = IBotConfig::new()
        .with_freeze_last_layer_epochs(params.frozen_steps("head.last_layer.")?)
        .with_train_prototype_lengths(head.train_g)
        .with_head_layers(head.layers.len())
        .with_hidden_dim(first_width(&head.layers)?)
        .with_bottleneck_dim(last_width(&head.layers)?)
        .with_output_dim(head.outputs);
    let (of_class, of_patches) = (params.all_steps("teacher_temp")?, params.all_steps("teacher_patch_temp")?);
    let check = |student: &IBotStudent<_>| expect_layers(case, "head", &head.layers, &student.head.mlp);
    let method_at = |step| {
        let [class, patch] = warm_ups([&of_class, &of_patches], step);
        let config = IBotConfig {
            student_temperature: params.loss("student_temp", step)?,
            teacher_temperature: class.end,
            warmup_teacher_temperature: class.start,
            teacher_patch_temperature: patch.end,
            warmup_teacher_patch_temperature: patch.start,
            warmup_teacher_temperature_epochs: class.epochs,
            center_momentum: params.loss("center_momentum", step)?,
            patch_center_momentum: params.loss("patch_center_momentum", step)?,
            class_weight: params.loss("lambda1", step)?,
            patch_weight: params.loss("lambda2", step)?,
            teacher_momentum: momentum.at(step)?,
            ..config.clone()
        };
        // One step per epoch: temperatures and freezing depend on the epoch.
        let at = Progress { step: step as u64, total_steps: ENDLESS, steps_per_epoch: 1 };
        Ok((config.build()?, at))
    };
    trajectory::<IBot>(case, &params, check, method_at)
}
