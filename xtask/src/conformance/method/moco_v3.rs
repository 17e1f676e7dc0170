//! MoCo v3.

use anyhow::{Result, bail};
use ssl_core::Teacher;
use ssl_encoders::AnyEncoder;
use ssl_moco::{MoCoV3, MoCoV3Config, MoCoV3State, MoCoV3Student};
use ssl_testing::{Case, Outputs};

use super::{Recipe, init, teacher_momentum, trajectory};
use crate::conformance::recipe::mlp;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let recipe = Recipe::of(case)?;
    recipe.expect_batching("sequential")?;
    let momentum = teacher_momentum(case, "before_key_forward")?;
    let base = config(case)?;
    let mut init = init()?;
    let student = MoCoV3Student {
        encoder: recipe.encoder.init(&mut init),
        projector: mlp(&recipe.projector, &mut init)?,
        predictor: mlp(&recipe.predictor, &mut init)?,
    };
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let temperature = recipe.loss("temperature", step)?;
        let config = base.clone().with_temperature(temperature).with_momentum(momentum, momentum);
        Ok((config.build::<AnyEncoder>()?, recipe.progress(step)))
    };
    let state =
        |student: &MoCoV3Student<_>| Ok(MoCoV3State { teacher: Teacher::from_student(&student.target()) });
    trajectory::<MoCoV3<AnyEncoder>>(case, &recipe, student, state, method_at)
}

/// The configuration that freezes what the case freezes.
fn config(case: &Case) -> Result<MoCoV3Config> {
    let frozen: Vec<String> = case.param::<Option<_>>("frozen")?.unwrap_or_default();
    let mut frozen: Vec<&str> = frozen.iter().map(String::as_str).collect();
    frozen.sort_unstable();
    Ok(match frozen[..] {
        [] => MoCoV3Config::new(),
        ["encoder.pos_embed"] => MoCoV3Config { freeze_patch_embed: false, ..MoCoV3Config::vit() },
        ["encoder.patch_embed.proj.", "encoder.pos_embed"] => MoCoV3Config::vit(),
        _ => bail!("{frozen:?} are frozen, expected the patch and position embedding of a ViT, or nothing"),
    })
}
