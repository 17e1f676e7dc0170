//! The choice of what a ViT makes its feature of.

use serde::{Deserialize, Serialize};
use ssl_core::names;

/// What the feature of a [`Vit`](super::Vit) is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pool {
    /// The normalised class token (Dosovitskiy et al., eq. 4).
    Class,
    /// The mean of the normalised patches (I-JEPA; timm's `global_pool="avg", fc_norm=False`).
    Mean,
}

names!(Pool: "pool" { Class = "class", Mean = "mean" });
