//! The masks of a step, which a case provides as `aux.<step>.<name>`.

use anyhow::{Result, ensure};
use burn::tensor::{Int, Tensor};
use ssl_core::{Mask, MaskKind, Needs};
use ssl_testing::Case;
use ssl_testing::tensors::{data, device};

/// The names of masks; all others are draws.
pub(super) const NAMES: [&str; 4] = ["ids_keep", "ids_context", "ids_target", "mask"];

/// The masks of the views.
pub(super) fn of(case: &Case, needs: &Needs, step: usize) -> Result<Vec<Option<Mask>>> {
    let Some(kind) = needs.masks else {
        let prefix = format!("aux.{step}");
        let mut masks = case.under(&prefix).map(|(name, _)| name).filter(|name| NAMES.contains(name));
        ensure!(masks.next().is_none(), "the case has masks, and the method takes none");
        return Ok(Vec::new());
    };
    let mask = match kind {
        MaskKind::Keep if needs.global_views > 1 => return kept(case, needs.global_views - 1, step),
        MaskKind::Keep => Mask::Keep(places(case, step, "ids_keep")?),
        MaskKind::Predict => {
            let context: Tensor<3, Int> = places(case, step, "ids_context")?;
            let [contexts, _, _] = context.dims();
            ensure!(contexts == 1, "{contexts} contexts of an image, expected one");
            let targets: Tensor<3, Int> = places(case, step, "ids_target")?;
            Mask::Predict { context: context.squeeze_dim(0), targets: targets.swap_dims(0, 1) }
        }
        MaskKind::Replace => return replaced(case, needs.global_views, step),
    };
    Ok(vec![Some(mask)])
}

/// The masks of all global views but the first, which stand one after another.
fn kept(case: &Case, views: usize, step: usize) -> Result<Vec<Option<Mask>>> {
    let kept: Tensor<2, Int> = places(case, step, "ids_keep")?;
    let [rows, _] = kept.dims();
    ensure!(
        rows.is_multiple_of(views),
        "patches of {rows} images, expected as many of each of {views} views"
    );
    Ok(std::iter::once(None)
        .chain(kept.chunk(views, 0).into_iter().map(|kept| Some(Mask::Keep(kept))))
        .collect())
}

/// The masks of the global views, which stand one after another.
fn replaced(case: &Case, views: usize, step: usize) -> Result<Vec<Option<Mask>>> {
    let hidden: Tensor<3, Int> = places(case, step, "mask")?;
    let hidden = hidden.flatten::<2>(1, 2).greater_elem(0);
    let [rows, _] = hidden.dims();
    ensure!(rows.is_multiple_of(views), "masks of {rows} images, expected as many for each of {views} views");
    Ok(hidden.chunk(views, 0).into_iter().map(|mask| Some(Mask::Replace(mask))).collect())
}

fn places<const D: usize>(case: &Case, step: usize, name: &str) -> Result<Tensor<D, Int>> {
    Ok(Tensor::from_data(data(case.tensor(&format!("aux.{step}.{name}"))?), &device()))
}
