//! SupCon.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_supcon::{SupCon, SupConConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::last_width;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["temperature", "base_temperature"];
    let params = Params::of(case, &Reads { batching: "concat", loss, others: &["projector"] })?;
    let config = SupConConfig::new().with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = config
            .clone()
            .with_temperature(params.loss("temperature", step)?)
            .with_base_temperature(params.loss("base_temperature", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<SupCon>(case, &params, check, method_at)
}
