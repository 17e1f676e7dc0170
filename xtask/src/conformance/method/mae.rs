//! MAE.

use anyhow::Result;
use ssl_mae::Mae;
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;
use crate::conformance::recipe::DecoderSpec;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let reads = Reads { batching: "single", loss: &["norm_pix"], others: &["decoder", "frozen"] };
    let params = Params::of(case, &reads)?;
    let decoder: DecoderSpec = case.param("decoder")?;
    // The shapes of the decoder are checked when its initial values are loaded.
    let method_at = |step| Ok((decoder.mae(params.flag("norm_pix")?)?, params.progress(step)));
    trajectory::<Mae>(case, &params, |_| Ok(()), method_at)
}
