//! DCL and DCLW.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_simclr::{Dcl, DclConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::last_width;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let params =
        Params::of(case, &Reads { batching: "concat", loss: &["temperature"], others: &["projector"] })?;
    steps(case, &params, |_| Ok(0.0))
}

pub(super) fn weighted(case: &Case) -> Result<Outputs> {
    let loss = &["temperature", "sigma"];
    let params = Params::of(case, &Reads { batching: "concat", loss, others: &["projector"] })?;
    steps(case, &params, |step| params.loss("sigma", step))
}

fn steps(case: &Case, params: &Params, sigma: impl Fn(usize) -> Result<f64>) -> Result<Outputs> {
    let config = DclConfig::dcl().with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config =
            config.clone().with_temperature(params.loss("temperature", step)?).with_sigma(sigma(step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<Dcl>(case, params, check, method_at)
}
