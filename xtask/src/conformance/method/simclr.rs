//! SimCLR v1 and v2.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_simclr::{SimClr, SimClrConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::last_width;

pub(super) fn v1(case: &Case) -> Result<Outputs> {
    run(case, SimClrConfig::new())
}

pub(super) fn v2(case: &Case) -> Result<Outputs> {
    run(case, SimClrConfig::v2())
}

fn run(case: &Case, version: SimClrConfig) -> Result<Outputs> {
    let reads = Reads { batching: "concat", loss: &["temperature"], others: &["projector"] };
    let params = Params::of(case, &reads)?;
    let config = version.with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = config.clone().with_temperature(params.loss("temperature", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<SimClr>(case, &params, check, method_at)
}
