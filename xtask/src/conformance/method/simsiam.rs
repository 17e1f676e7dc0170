//! SimSiam.

use anyhow::Result;
use ssl_core::WithPredictor;
use ssl_simsiam::{SimSiam, SimSiamConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let reads = Reads { batching: "sequential", loss: &[], others: &["projector", "predictor"] };
    let params = Params::of(case, &reads)?;
    let config = SimSiamConfig::new()
        .with_output_dim(last_width(&params.projector)?)
        .with_predictor_dim(first_width(&params.predictor)?);
    let check =
        |student: &WithPredictor<_>| params.expect_heads(case, &student.projector, Some(&student.predictor));
    let method_at = |step| Ok((config.build()?, params.progress(step)));
    trajectory::<SimSiam>(case, &params, check, method_at)
}
