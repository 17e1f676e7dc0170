//! Learned factors on a branch of a block.

use crate::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A learned factor per channel.
///
/// ```text
/// y = gamma · x
/// ```
///
/// # Source
/// CaiT, Touvron et al. 2021, eq. 4, <https://arxiv.org/abs/2103.17239>; DINOv2 `layer_scale.py`.
#[derive(Module, Debug)]
pub struct LayerScale {
    /// `[dim]`
    pub gamma: Param<Tensor<1>>,
}

impl LayerScale {
    /// Creates the factors, all starting at `value`.
    pub fn init(dim: usize, value: f64, init: &Init) -> Self {
        Self { gamma: init.constant([dim], value) }
    }
}
