//! MoCo v3.

use anyhow::Result;
use ssl_core::WithPredictor;
use ssl_moco::{MoCoV3, MoCoV3Config};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{EncoderSpec, first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let others = &["projector", "predictor", "ema", "frozen"];
    let params = Params::of(case, &Reads { batching: "sequential", loss: &["temperature"], others })?;
    let momentum = params.teacher_momentum("before_key_forward")?;
    let freeze_patch_embed = params.frozen.iter().any(|prefix| prefix.starts_with("encoder.patch_embed."));
    let version = match params.encoder {
        EncoderSpec::Resnet { .. } | EncoderSpec::Convnext { .. } => MoCoV3Config::new(),
        EncoderSpec::Vit { .. } => MoCoV3Config { freeze_patch_embed, ..MoCoV3Config::vit() },
    };
    let config = version
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check =
        |student: &WithPredictor<_>| params.expect_heads(case, &student.projector, Some(&student.predictor));
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let temperature = params.loss("temperature", step)?;
        let config = config.clone().with_temperature(temperature).with_momentum(momentum, momentum);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<MoCoV3>(case, &params, check, method_at)
}
