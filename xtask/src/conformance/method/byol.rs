//! BYOL.

use anyhow::Result;
use ssl_byol::{Byol, ByolConfig, ByolState, ByolStudent};
use ssl_core::Teacher;
use ssl_encoders::AnyEncoder;
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, teacher_momentum, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("sequential")?;
    let momentum = teacher_momentum(case, "after_optimizer_step")?;
    let mut init = init()?;
    let student = ByolStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
        predictor: mlp(&recipe.predictor, &mut init)?,
    };
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let config = ByolConfig::new().with_momentum(momentum, momentum);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    let state =
        |student: &ByolStudent<_>| Ok(ByolState { teacher: Teacher::from_student(&student.target()) });
    trajectory::<Byol<AnyEncoder>>(case, &recipe, student, state, method_at)
}
