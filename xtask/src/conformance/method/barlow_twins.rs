//! Barlow Twins.

use anyhow::Result;
use ssl_barlow_twins::{BarlowTwins, BarlowTwinsConfig, BarlowTwinsStudent};
use ssl_core::NoState;
use ssl_encoders::AnyEncoder;
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("sequential")?;
    let mut init = init()?;
    let student = BarlowTwinsStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
    };
    let method_at = |step| {
        let config = BarlowTwinsConfig::new()
            .with_off_diagonal_weight(recipe.loss("lambda", step)?)
            .with_scale(recipe.loss("scale", step)?);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    trajectory::<BarlowTwins<AnyEncoder>>(case, &recipe, student, |_| Ok(NoState {}), method_at)
}
