//! SupCon.

use anyhow::Result;
use ssl_core::NoState;
use ssl_encoders::AnyEncoder;
use ssl_supcon::{SupCon, SupConConfig, SupConStudent};
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("concat")?;
    let mut init = init()?;
    let student = SupConStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
    };
    let method_at = |step| {
        let config = SupConConfig::new()
            .with_temperature(recipe.loss("temperature", step)?)
            .with_base_temperature(recipe.loss("base_temperature", step)?);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    trajectory::<SupCon<AnyEncoder>>(case, &recipe, student, |_| Ok(NoState {}), method_at)
}
