//! The masks of a step, which a case provides as `aux.<step>.<name>`.

use anyhow::{Result, ensure};
use burn::tensor::{Int, Tensor};
use ssl_core::{Mask, MaskKind, Needs};
use ssl_testing::Case;
use ssl_testing::tensors::{data, device};

/// The names of masks; all others are draws.
pub(super) const NAMES: [&str; 1] = ["ids_keep"];

/// The masks of the views.
pub(super) fn of(case: &Case, needs: &Needs, step: usize) -> Result<Vec<Option<Mask>>> {
    let Some(kind) = needs.masks else {
        let prefix = format!("aux.{step}");
        let mut masks = case.under(&prefix).map(|(name, _)| name).filter(|name| NAMES.contains(name));
        ensure!(masks.next().is_none(), "the case has masks, and the method takes none");
        return Ok(Vec::new());
    };
    ensure!(kind == MaskKind::Keep, "masks of the kind {kind:?} are unknown here");
    let kept = case.tensor(&format!("aux.{step}.ids_keep"))?;
    Ok(vec![Some(Mask::Keep(Tensor::<2, Int>::from_data(data(kept), &device())))])
}
