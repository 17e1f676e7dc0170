//! DINO.

use anyhow::Result;
use serde::Deserialize;
use ssl_core::Progress;
use ssl_core::schedule::linear_warmup;
use ssl_dino::{Dino, DinoConfig, DinoStudent};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{LayerSpec, expect_layers, first_width, last_width};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadSpec {
    layers: Vec<LayerSpec>,
    #[serde(rename = "out")]
    outputs: usize,
}

/// The length of a run so long that the teacher's momentum has not begun to rise, and so is the configured one.
const ENDLESS: u64 = 1 << 40;

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
    let temperatures: Vec<f64> =
        (0..params.steps).map(|step| params.loss("teacher_temp", step)).collect::<Result<_>>()?;
    let check = |student: &DinoStudent<_>| expect_layers(case, "head", &head.layers, &student.head.mlp);
    let method_at = |step| {
        let config = DinoConfig {
            student_temperature: params.loss("student_temp", step)?,
            center_momentum: params.loss("center_momentum", step)?,
            teacher_momentum: momentum.at(step)?,
            ..with_teacher_temperatures(config.clone(), &temperatures, step)
        };
        // One step per epoch: temperatures and freezing depend on the epoch.
        let at = Progress { step: step as u64, total_steps: ENDLESS, steps_per_epoch: 1 };
        Ok((config.build()?, at))
    };
    trajectory::<Dino>(case, &params, check, method_at)
}

/// The configuration whose warm-up by epochs goes through the temperatures; where no warm-up does, with the temperature of
/// the step as a constant.
fn with_teacher_temperatures(config: DinoConfig, temperatures: &[f64], step: usize) -> DinoConfig {
    let (start, end) = (temperatures[0], temperatures[temperatures.len() - 1]);
    let epochs = temperatures.len();
    let warm_up = |epoch: usize| linear_warmup(epoch as f64, epochs as f64, start, end);
    let is_warm_up = (0..epochs).all(|epoch| (warm_up(epoch) - temperatures[epoch]).abs() < 1e-12);
    if is_warm_up {
        DinoConfig {
            teacher_temperature: end,
            warmup_teacher_temperature: start,
            warmup_teacher_temperature_epochs: epochs as u64,
            ..config
        }
    } else {
        DinoConfig { teacher_temperature: temperatures[step], warmup_teacher_temperature_epochs: 0, ..config }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_on_a_line_are_a_warm_up_and_others_are_constants() {
        let warm_up = |temperatures: &[f64]| {
            let config = with_teacher_temperatures(DinoConfig::new(), temperatures, 1);
            (config.warmup_teacher_temperature_epochs, config.teacher_temperature)
        };
        assert_eq!(warm_up(&[0.04, 0.055, 0.07]), (3, 0.07));
        assert_eq!(warm_up(&[0.07, 0.06, 0.06]), (0, 0.06));
    }
}
