//! SimSiam.

use anyhow::Result;
use ssl_core::NoState;
use ssl_encoders::AnyEncoder;
use ssl_simsiam::{SimSiam, SimSiamConfig, SimSiamStudent};
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("sequential")?;
    let mut init = init()?;
    let student = SimSiamStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
        predictor: mlp(&recipe.predictor, &mut init)?,
    };
    let method_at = |step| Ok((SimSiamConfig::new().build::<AnyEncoder>()?, recipe.progress(step)));
    trajectory::<SimSiam<AnyEncoder>>(case, &recipe, student, |_| Ok(NoState {}), method_at)
}
