//! I-JEPA.

use anyhow::{Result, ensure};
use ssl_ijepa::IJepa;
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::PredictorSpec;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let loss = &["beta", "layer_norm_eps"];
    let params =
        Params::of(case, &Reads { batching: "single", loss, others: &["predictor", "frozen", "ema"] })?;
    let constants = (params.loss("beta", 0)?, params.loss("layer_norm_eps", 0)?);
    ensure!(constants == (1.0, 1e-5), "beta and eps are {constants:?}, expected 1 and 1e-5");
    let momentum = params.teacher_momentum("after_optimizer_step")?;
    let predictor: PredictorSpec = case.param("predictor")?;
    // The shapes of the predictor are checked when its initial values are loaded.
    let method_at = |step| {
        let momentum = momentum.at(step)?;
        let config = predictor.config().with_teacher_momentum(momentum).with_teacher_momentum_end(momentum);
        Ok((config.build()?, params.progress(step)))
    };
    trajectory::<IJepa>(case, &params, |_| Ok(()), method_at)
}
