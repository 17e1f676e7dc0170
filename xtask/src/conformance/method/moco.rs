//! MoCo v1 and v2.

use anyhow::{Result, ensure};
use ssl_core::{Queue, Teacher};
use ssl_encoders::AnyEncoder;
use ssl_moco::{MoCo, MoCoConfig, MoCoState, MoCoStudent};
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, teacher_momentum, trajectory};
use crate::conformance::recipe::mlp;
use crate::conformance::values::tensor;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("sequential")?;
    let momentum = teacher_momentum(case, "before_key_forward")?;
    let symmetric = case.param("symmetric")?;
    let mut init = init()?;
    let student = MoCoStudent {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
    };
    let method_at = |step| {
        let config = MoCoConfig::v1()
            .with_temperature(recipe.loss("temperature", step)?)
            .with_momentum(momentum.at(step)?)
            .with_symmetric(symmetric);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    trajectory::<MoCo<AnyEncoder>>(case, &recipe, student, |student| state(case, student), method_at)
}

fn state(case: &Case, student: &MoCoStudent<AnyEncoder>) -> Result<MoCoState<AnyEncoder>> {
    let (_, position) = case.i64("init.queue_ptr")?;
    ensure!(position == [0], "the queue starts to write at {position:?}, expected 0");
    let queue = Queue::new(tensor(case, "init.queue")?);
    Ok(MoCoState { teacher: Teacher::from_student(student), queue })
}
