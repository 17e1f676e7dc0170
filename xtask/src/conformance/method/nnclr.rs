//! NNCLR.

use anyhow::Result;
use ssl_core::WithPredictor;
use ssl_nnclr::{NnClr, NnClrConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let others = &["projector", "predictor", "queue"];
    let params = Params::of(case, &Reads { batching: "sequential", loss: &["temperature"], others })?;
    let config = NnClrConfig::new()
        .with_projector_layers(params.projector.len())
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?)
        .with_predictor_dim(first_width(&params.predictor)?)
        .with_queue_len(case.param("queue")?);
    let check =
        |student: &WithPredictor<_>| params.expect_heads(case, &student.projector, Some(&student.predictor));
    let method_at = |step| {
        let config = config.clone().with_temperature(params.loss("temperature", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<NnClr>(case, &params, check, method_at)
}
