//! BYOL.

use anyhow::Result;
use ssl_byol::{Byol, ByolConfig};
use ssl_core::WithPredictor;
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let reads = Reads { batching: "sequential", loss: &[], others: &["projector", "predictor", "ema"] };
    let params = Params::of(case, &reads)?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let config = ByolConfig::new()
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check =
        |student: &WithPredictor<_>| params.expect_heads(case, &student.projector, Some(&student.predictor));
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let config = config.clone().with_momentum(momentum, momentum);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<Byol>(case, &params, check, method_at)
}
