//! SimCLR v1 and v2.

use anyhow::Result;
use ssl_core::NoState;
use ssl_encoders::AnyEncoder;
use ssl_simclr::{SimClr, SimClrConfig, SimClrStudent};
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("concat")?;
    let mut init = init()?;
    let student = SimClrStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
    };
    let method_at = |step| {
        let config = SimClrConfig::new().with_temperature(recipe.loss("temperature", step)?);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    trajectory::<SimClr<AnyEncoder>>(case, &recipe, student, |_| Ok(NoState {}), method_at)
}
