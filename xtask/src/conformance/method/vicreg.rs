//! VICReg.

use anyhow::{Result, ensure};
use ssl_core::EncoderWith;
use ssl_testing::{Case, Outputs};
use ssl_vicreg::{VicReg, VicRegConfig};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["lambda", "mu", "nu", "eps"];
    let params = Params::of(case, &Reads { batching: "sequential", loss, others: &["projector"] })?;
    let config = VicRegConfig::new()
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let eps = params.loss("eps", step)?;
        ensure!(eps == 1e-4, "eps is {eps}, expected 1e-4");
        let config = config
            .clone()
            .with_invariance_weight(params.loss("lambda", step)?)
            .with_variance_weight(params.loss("mu", step)?)
            .with_covariance_weight(params.loss("nu", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<VicReg>(case, &params, check, method_at)
}
