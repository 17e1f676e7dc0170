//! Barlow Twins.

use anyhow::Result;
use ssl_barlow_twins::{BarlowTwins, BarlowTwinsConfig};
use ssl_core::EncoderWith;
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["lambda", "scale"];
    let params = Params::of(case, &Reads { batching: "sequential", loss, others: &["projector"] })?;
    let config = BarlowTwinsConfig::new()
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = config
            .clone()
            .with_off_diagonal_weight(params.loss("lambda", step)?)
            .with_scale(params.loss("scale", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<BarlowTwins>(case, &params, check, method_at)
}
