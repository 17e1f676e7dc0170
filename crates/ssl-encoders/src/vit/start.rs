//! Initial values of a ViT.

use burn::module::Param;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::nn::{AxisOrder, Linear, LinearConfig, sine_cosine_positions, xavier};
use ssl_core::{Init, names};

use super::patch_embed::PatchProjection;

/// Standard deviation of [`VitInit::TruncatedNormal`].
const STD: f64 = 0.02;

/// The initial values of a [`Vit`](super::Vit). In every scheme, biases of linear layers are 0, and registers are normal with
/// standard deviation 1e-6 (DINOv2 `vision_transformer.py`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VitInit {
    /// Weights, class token and position embedding: truncated normal with standard deviation 0.02. Patch projection:
    /// uniform within `±1 / sqrt(inputs)`, PyTorch's default for a convolution. Mask token: 0.
    ///
    /// Source: DINO and timm, `vision_transformer.py`.
    #[default]
    TruncatedNormal,
    /// Weights: Xavier-uniform, with query, key and value as three matrices. Position embedding: two-dimensional sines
    /// and cosines, the row first. Class token: normal with standard deviation 1e-6. Mask token: 0. MoCo v3 keeps position
    /// embedding and patch projection at these initial values.
    ///
    /// Source: MoCo v3, Chen et al. 2021, <https://arxiv.org/abs/2104.02057>, and official `vits.py`.
    XavierSinCos,
    /// Weights: Xavier-uniform, with query, key and value as one matrix. Class token and mask token: normal with standard
    /// deviation 0.02. Bias of the patch projection: uniform within `±1 / sqrt(inputs)`, PyTorch's default. Position
    /// embedding, if it is learned: truncated normal with standard deviation 0.02.
    ///
    /// Source: MAE, He et al. 2021, <https://arxiv.org/abs/2111.06377>, appendix A.1, and official `models_mae.py`.
    Xavier,
    /// Weights, the patch projection's too, and tokens: truncated normal with standard deviation 0.02. Those of the last layers of
    /// both branches of block `i`, counted from 1, are divided by `sqrt(2 · i)`. Learned positions: the same standard deviation.
    ///
    /// Source: I-JEPA, Assran et al. 2023, <https://arxiv.org/abs/2301.08243>, official `vision_transformer.py`, `_init_weights` and
    /// `fix_init_weight`, after BEiT.
    TruncatedNormalScaled,
}

names!(VitInit: "vit_init" {
    TruncatedNormalScaled = "truncated-normal-scaled",
    TruncatedNormal = "truncated-normal",
    XavierSinCos = "xavier-sin-cos",
    Xavier = "xavier",
});

impl VitInit {
    /// `weight`: `[outputs, inputs]`.
    pub(super) fn linear(self, inputs: usize, outputs: usize, init: &mut Init) -> Linear {
        let config = LinearConfig::new(inputs, outputs);
        match self {
            Self::TruncatedNormal | Self::TruncatedNormalScaled => config.init_truncated_normal(STD, init),
            Self::XavierSinCos | Self::Xavier => config.init_xavier(init),
        }
    }

    /// The last layer of a branch of the block with this index, from 0.
    pub(super) fn last_of_branch(
        self,
        inputs: usize,
        outputs: usize,
        block: usize,
        init: &mut Init,
    ) -> Linear {
        match self {
            Self::TruncatedNormalScaled => {
                let std = STD / (2.0 * (block as f64 + 1.0)).sqrt();
                LinearConfig::new(inputs, outputs).init_truncated_normal(std, init)
            }
            _ => self.linear(inputs, outputs, init),
        }
    }

    /// Query, key and value with `dim` outputs each, stacked.
    pub(super) fn query_key_value(self, dim: usize, init: &mut Init) -> Linear {
        let stacked = [3 * dim, dim];
        match self {
            Self::TruncatedNormal | Self::TruncatedNormalScaled | Self::Xavier => {
                self.linear(dim, 3 * dim, init)
            }
            Self::XavierSinCos => Linear {
                weight: init.uniform(stacked, xavier(dim, dim)),
                bias: Some(init.constant([3 * dim], 0.0)),
                precision: init.precision(),
            },
        }
    }

    /// `weight`: `[dim, 3, patch, patch]`.
    pub(super) fn patch_projection(self, dim: usize, patch: usize, init: &mut Init) -> PatchProjection {
        let (inputs, shape) = (3 * patch * patch, [dim, 3, patch, patch]);
        let usual = 1.0 / (inputs as f64).sqrt();
        let weight = match self {
            Self::TruncatedNormal => init.uniform(shape, usual),
            Self::TruncatedNormalScaled => init.truncated_normal(shape, STD),
            Self::XavierSinCos | Self::Xavier => init.uniform(shape, xavier(inputs, dim)),
        };
        let bias = match self {
            Self::TruncatedNormal | Self::Xavier => init.uniform([dim], usual),
            Self::XavierSinCos | Self::TruncatedNormalScaled => init.constant([dim], 0.0),
        };
        PatchProjection { weight, bias }
    }

    /// `[1, 1, dim]`
    pub(super) fn class_token(self, dim: usize, init: &mut Init) -> Param<Tensor<3>> {
        match self {
            Self::TruncatedNormal | Self::TruncatedNormalScaled => init.truncated_normal([1, 1, dim], STD),
            Self::XavierSinCos => init.normal([1, 1, dim], 1e-6),
            Self::Xavier => init.normal([1, 1, dim], STD),
        }
    }

    /// `[1, count, dim]`
    pub(super) fn registers(self, count: usize, dim: usize, init: &mut Init) -> Param<Tensor<3>> {
        init.normal([1, count, dim], 1e-6)
    }

    /// `[1, dim]`
    pub(super) fn mask_token(self, dim: usize, init: &mut Init) -> Param<Tensor<2>> {
        match self {
            Self::TruncatedNormal | Self::XavierSinCos => init.constant([1, dim], 0.0),
            Self::Xavier => init.normal([1, dim], STD),
            Self::TruncatedNormalScaled => init.truncated_normal([1, dim], STD),
        }
    }

    /// A learned `[1, class_tokens + side², dim]`.
    pub(super) fn position_embedding(
        self,
        class_tokens: usize,
        side: usize,
        dim: usize,
        init: &mut Init,
    ) -> Param<Tensor<3>> {
        match self {
            Self::TruncatedNormal | Self::TruncatedNormalScaled | Self::Xavier => {
                init.truncated_normal([1, class_tokens + side * side, dim], STD)
            }
            Self::XavierSinCos => {
                let values = sine_cosine_positions(side, dim, class_tokens, AxisOrder::RowColumn);
                Param::from_tensor(Tensor::from_data(values, init.device()))
            }
        }
    }
}
