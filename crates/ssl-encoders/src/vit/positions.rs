//! The choice of a ViT's position embedding.

use burn::module::Param;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::nn::{AxisOrder, fixed_positions};
use ssl_core::{Init, names};

use super::VitInit;

/// The position embedding of a [`Vit`](super::Vit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Positions {
    /// Trained, from the initial values of [`VitInit`] (Dosovitskiy et al., section 3.1).
    #[default]
    Learned,
    /// Sines and cosines that are never trained, the column of a patch first (MAE, I-JEPA).
    SinCosColumnRow,
    /// Sines and cosines that are never trained, the row of a patch first (MoCo v3).
    SinCosRowColumn,
}

names!(Positions: "positions" {
    Learned = "learned",
    SinCosColumnRow = "sin-cos-column-row",
    SinCosRowColumn = "sin-cos-row-column",
});

impl Positions {
    /// `[1, 1 + side², dim]`, or `[1, side², dim]` without a class token.
    pub(super) fn init(
        self,
        start: VitInit,
        class_token: bool,
        side: usize,
        dim: usize,
        init: &mut Init,
    ) -> Param<Tensor<3>> {
        let class_tokens = usize::from(class_token);
        match self {
            Self::Learned => start.position_embedding(class_tokens, side, dim, init),
            Self::SinCosColumnRow => fixed_positions(side, dim, class_tokens, AxisOrder::ColumnRow, init),
            Self::SinCosRowColumn => fixed_positions(side, dim, class_tokens, AxisOrder::RowColumn, init),
        }
    }
}
