//! TiCo.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_testing::{Case, Outputs};
use ssl_tico::{TiCo, TiCoConfig};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let reads = Reads { batching: "sequential", loss: &["beta", "rho"], others: &["projector", "ema"] };
    let params = Params::of(case, &reads)?;
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let config = TiCoConfig::new()
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let config = config
            .clone()
            .with_covariance_momentum(params.loss("beta", step)?)
            .with_covariance_weight(params.loss("rho", step)?)
            .with_momentum(momentum, momentum);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<TiCo>(case, &params, check, method_at)
}
