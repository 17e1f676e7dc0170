//! SwAV.

use anyhow::{Result, ensure};
use serde::Deserialize;
use ssl_swav::{Swav, SwavConfig, SwavStudent};
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
    let loss = &["temperature", "epsilon", "iterations"];
    let others = &["projector", "prototypes", "queue", "freeze_first_steps"];
    let params = Params::of(case, &Reads { batching: "multicrop", loss, others })?;
    let prototypes: Prototypes = case.param("prototypes")?;
    let output_dim = last_width(&params.projector)?;
    let Prototypes { inputs, outputs } = prototypes;
    ensure!(inputs == output_dim, "prototypes of {inputs} inputs after a projector of {output_dim} outputs");
    let config = SwavConfig {
        freeze_prototypes_steps: params.frozen_steps("prototypes.")?,
        ..SwavConfig::new()
            .with_hidden_dim(first_width(&params.projector)?)
            .with_output_dim(output_dim)
            .with_prototypes(outputs)
            .with_queue(case.param::<Option<usize>>("queue")?.unwrap_or(0), 0)
    };
    let check = |student: &SwavStudent<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = SwavConfig {
            temperature: params.loss("temperature", step)?,
            epsilon: params.loss("epsilon", step)?,
            sinkhorn_iterations: params.loss("iterations", step)? as usize,
            ..config.clone()
        };
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<Swav>(case, &params, check, method_at)
}
