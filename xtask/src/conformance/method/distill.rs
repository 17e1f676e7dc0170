//! Distillation of features from a frozen teacher.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::Deserialize;
use ssl_core::{FrozenEncoder, Init, MethodRules, named};
use ssl_distill_features::{
    Distance, DistillFeatures, DistillFeaturesConfig, DistillFeaturesStudent, Frozen, TeacherNorm,
};
use ssl_testing::tensors::device;
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::modules::load;
use crate::conformance::recipe::{EncoderSpec, LayerSpec, expect_layers, first_width};

/// The teacher of a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TeacherSpec {
    encoder: EncoderSpec,
}

/// A term of the loss.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    weight: f64,
    distance: Distance,
    teacher_norm: TeacherNorm,
}

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let others = &["projector", "token_projector", "teacher"];
    let params = Params::of(case, &Reads { batching: "single", loss: &["pooled", "tokens"], others })?;
    let teacher = teacher(case)?;
    let [pooled, tokens] = ["pooled", "tokens"].map(|name| Params::term::<Term>(case, name));
    let (pooled, tokens) = (pooled?.unwrap_or_default(), tokens?.unwrap_or_default());
    let of_tokens: Vec<LayerSpec> = case.param::<Option<_>>("token_projector")?.unwrap_or_default();
    let config = DistillFeaturesConfig::new()
        .with_pooled_weight(pooled.weight)
        .with_pooled_distance(pooled.distance)
        .with_pooled_norm(pooled.teacher_norm)
        .with_token_weight(tokens.weight)
        .with_token_distance(tokens.distance)
        .with_token_norm(tokens.teacher_norm)
        .with_hidden_dim(first_width(if params.projector.is_empty() {
            &of_tokens
        } else {
            &params.projector
        })?);
    let check = |student: &DistillFeaturesStudent<_>| {
        let heads = [
            ("projector", &params.projector, &student.projector),
            ("token_projector", &of_tokens, &student.token_projector),
        ];
        heads.into_iter().try_for_each(|(name, specs, built)| match built {
            Some(built) => expect_layers(case, name, specs, built),
            None => {
                ensure!(specs.is_empty(), "the case has a {name}, but this method has none");
                Ok(())
            }
        })
    };
    let method_at = |step| {
        let mut method = config.build()?;
        method.learn_from(Arc::clone(&teacher));
        Ok((method, params.progress(step)))
    };
    trajectory::<DistillFeatures>(case, &params, check, method_at)
}

/// The frozen network, with the values that the case gives.
fn teacher(case: &Case) -> Result<Arc<dyn FrozenEncoder>> {
    let spec: TeacherSpec = case.param("teacher")?;
    let network = spec.encoder.init(&mut Init::new(0, &device()));
    let network = load(network, case, |path| format!("teacher.encoder.{path}"))?;
    let (given, taken) = (case.under("init.teacher").count(), named::collect(&network).len());
    ensure!(given == taken, "the case has {given} tensors of a teacher, of which {taken} are known");
    Ok(Arc::new(Frozen::new(network)))
}
