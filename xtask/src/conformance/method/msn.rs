//! MSN.

use anyhow::{Result, ensure};
use serde::Deserialize;
use ssl_msn::{Msn, MsnConfig, MsnStudent};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prototypes {
    #[serde(rename = "in")]
    inputs: usize,
    #[serde(rename = "out")]
    outputs: usize,
}

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &[
        "temperature",
        "target_sharpen_temperature",
        "regularization_weight",
        "sinkhorn_iterations",
        "random_views",
    ];
    let others = &["projector", "prototypes", "ema", "clip_groups"];
    let params = Params::of(case, &Reads { batching: "groups", loss, others })?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let Prototypes { inputs, outputs } = case.param("prototypes")?;
    let output_dim = last_width(&params.projector)?;
    ensure!(inputs == output_dim, "prototypes of {inputs} inputs after a projector of {output_dim} outputs");
    let config = MsnConfig::new()
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(output_dim)
        .with_prototypes(outputs);
    let check = |student: &MsnStudent<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let config = config
            .clone()
            .with_temperature(params.loss("temperature", step)?)
            .with_sharpen_temperature(params.loss("target_sharpen_temperature", step)?)
            .with_regularization_weight(params.loss("regularization_weight", step)?)
            .with_sinkhorn_iterations(params.loss("sinkhorn_iterations", step)? as usize)
            .with_random_views(params.loss("random_views", step)? as usize)
            .with_teacher_momentum(momentum)
            .with_teacher_momentum_end(momentum);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<Msn>(case, &params, check, method_at)
}
