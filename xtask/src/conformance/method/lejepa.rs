//! LeJEPA.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_lejepa::{LeJepa, LeJepaConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::{first_width, last_width};

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["lambda", "knots", "t_max", "global_views"];
    let params = Params::of(case, &Reads { batching: "multicrop", loss, others: &["projector"] })?;
    let (slices, _) = case.f32("aux.0.slices")?;
    let config = LeJepaConfig::new()
        .with_slices(slices[1])
        .with_projector_layers(params.projector.len())
        .with_hidden_dim(first_width(&params.projector)?)
        .with_output_dim(last_width(&params.projector)?);
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = config
            .clone()
            .with_sigreg_weight(params.loss("lambda", step)?)
            .with_global_views(params.loss("global_views", step)? as usize)
            .with_knots(params.loss("knots", step)? as usize)
            .with_t_max(params.loss("t_max", step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<LeJepa>(case, &params, check, method_at)
}
