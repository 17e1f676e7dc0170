//! Whether the masks of a recipe are those of its method.

use ssl_core::{MaskKind, Needs};
use ssl_data::MaskConfig;
use ssl_train::TrainError;

use crate::{Error, Recipe};

/// Checks that a recipe has the masks that its method needs, and no others.
pub(super) fn check(recipe: &Recipe, needs: &Needs) -> Result<(), Error> {
    let method = || recipe.method.clone();
    match (needs.masks, &recipe.mask) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Error::UnusedMask(method())),
        (Some(_), None) => Err(TrainError::Masks.into()),
        (Some(kind), Some(mask)) if kind_of(mask) == kind => Ok(()),
        (Some(kind), Some(mask)) => {
            Err(Error::MaskKind { found: mask.kind(), method: method(), expected: name_of(kind) })
        }
    }
}

/// What the masks of a recipe are to a method.
fn kind_of(mask: &MaskConfig) -> MaskKind {
    match mask {
        MaskConfig::Random(_) | MaskConfig::Focal(_) => MaskKind::Keep,
        MaskConfig::Block(_) => MaskKind::Replace,
        MaskConfig::MultiBlock(_) => MaskKind::Predict,
    }
}

/// What recipes call masks of a kind.
fn name_of(kind: MaskKind) -> &'static str {
    match kind {
        MaskKind::Keep => "'random' or 'focal'",
        MaskKind::Replace => "'block'",
        MaskKind::Predict => "'multi-block'",
    }
}
