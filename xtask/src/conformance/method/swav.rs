//! SwAV.

use anyhow::{Result, ensure};
use serde::Deserialize;
use ssl_core::nn::LinearConfig;
use ssl_encoders::AnyEncoder;
use ssl_swav::{CropQueue, Swav, SwavConfig, SwavState, SwavStudent};
use ssl_testing::{Case, Outputs};

use super::{Recipe, frozen_steps, init, trajectory};
use crate::conformance::recipe::mlp;
use crate::conformance::values::{device, tensor};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prototypes {
    #[serde(rename = "in")]
    inputs: usize,
    #[serde(rename = "out")]
    outputs: usize,
}

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("multicrop")?;
    let prototypes: Prototypes = case.param("prototypes")?;
    let frozen = frozen_steps(case, "prototypes.")?;
    let mut init = init()?;
    let student = SwavStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
        prototypes: LinearConfig::new(prototypes.inputs, prototypes.outputs).with_bias(false).init(&mut init),
    };
    let method_at = |step| {
        let config = SwavConfig {
            temperature: recipe.loss("temperature", step)?,
            epsilon: recipe.loss("epsilon", step)?,
            sinkhorn_iterations: recipe.loss("iterations", step)? as usize,
            queue_start_epoch: 0,
            freeze_prototypes_steps: frozen as u64,
            ..SwavConfig::new()
        };
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    trajectory::<Swav<AnyEncoder>>(case, &recipe, student, |_| state(case), method_at)
}

/// The empty queue of a case, where it has one.
fn state(case: &Case) -> Result<SwavState> {
    let Some(len) = case.param::<Option<usize>>("queue")? else { return Ok(SwavState { queue: None }) };
    let rows = tensor::<3>(case, "init.queue")?;
    let [crops, rows_len, dim] = rows.dims();
    ensure!((crops, rows_len) == (2, len), "a queue of {crops} x {rows_len} rows, expected 2 x {len}");
    ensure!(
        rows.abs().max().into_scalar::<f32>() == 0.0,
        "a queue that starts with embeddings, expected zeros"
    );
    Ok(SwavState { queue: Some(CropQueue::new(len, dim, &device()?)) })
}
