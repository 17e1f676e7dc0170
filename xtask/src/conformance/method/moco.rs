//! MoCo v1 and v2.

use anyhow::Result;
use ssl_core::EncoderWith;
use ssl_moco::{MoCo, MoCoConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::last_width;

pub(super) fn v1(case: &Case) -> Result<Outputs> {
    run(case, MoCoConfig::v1())
}

pub(super) fn v2(case: &Case) -> Result<Outputs> {
    run(case, MoCoConfig::v2())
}

fn run(case: &Case, version: MoCoConfig) -> Result<Outputs> {
    let others = &["projector", "ema", "queue", "symmetric", "shuffle"];
    let params = Params::of(case, &Reads { batching: "sequential", loss: &["temperature"], others })?;
    let momentum = params.teacher_momentum("before_key_forward")?;
    let config = version
        .with_output_dim(last_width(&params.projector)?)
        .with_queue_len(case.param("queue")?)
        .with_symmetric(case.param("symmetric")?)
        // Cases from before shuffling was added do not mention it.
        .with_shuffle(case.param::<Option<bool>>("shuffle")?.unwrap_or(false));
    let check = |student: &EncoderWith<_>| params.expect_heads(case, &student.projector, None);
    let method_at = |step| {
        let config = config
            .clone()
            .with_temperature(params.loss("temperature", step)?)
            .with_momentum(momentum.at(step)?);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<MoCo>(case, &params, check, method_at)
}
