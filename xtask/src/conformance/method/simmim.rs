//! SimMIM, of which the suite has no trajectory: `xtask/baseline/simmim_cases.py` writes them.

use anyhow::Result;
use ssl_simmim::{SimMim, SimMimConfig};
use ssl_testing::{Case, Outputs};

use super::params::{Params, Reads};
use super::trajectory;

pub(super) fn run(case: &Case) -> Result<Outputs> {
    let params = Params::of(case, &Reads { batching: "single", loss: &[], others: &[] })?;
    let method_at = |step| Ok((SimMimConfig::new().build()?, params.progress(step)));
    trajectory::<SimMim>(case, &params, |_| Ok(()), method_at)
}
