//! Initial values of a ViT.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use ssl_core::nn::Linear;
use ssl_core::{Init, names};

use super::patch_embed::PatchProjection;

/// Standard deviation of [`VitInit::TruncatedNormal`].
const STD: f64 = 0.02;

/// The initial values of a [`Vit`](super::Vit). In every scheme, biases of linear layers and the mask token are 0, and
/// registers are normal with standard deviation 1e-6 (DINOv2 `vision_transformer.py`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VitInit {
    /// Weights, class token and position embedding: truncated normal with standard deviation 0.02. Patch projection:
    /// uniform within `±1 / sqrt(inputs)`, PyTorch's default for a convolution.
    ///
    /// Source: DINO and timm, `vision_transformer.py`.
    #[default]
    TruncatedNormal,
    /// Weights: Xavier-uniform, with query, key and value as three matrices. Position embedding: two-dimensional sines
    /// and cosines. Class token: normal with standard deviation 1e-6. MoCo v3 keeps position embedding and patch
    /// projection at these initial values.
    ///
    /// Source: MoCo v3, Chen et al. 2021, <https://arxiv.org/abs/2104.02057>, and official `vits.py`.
    XavierSinCos,
}

names!(VitInit: "vit_init" { TruncatedNormal = "truncated-normal", XavierSinCos = "xavier-sin-cos" });

impl VitInit {
    /// `weight`: `[outputs, inputs]`.
    pub(super) fn linear(self, inputs: usize, outputs: usize, init: &mut Init) -> Linear {
        self.matrices(inputs, outputs, 1, init)
    }

    /// Query, key and value with `dim` outputs each, stacked.
    pub(super) fn query_key_value(self, dim: usize, init: &mut Init) -> Linear {
        self.matrices(dim, dim, 3, init)
    }

    fn matrices(self, inputs: usize, outputs: usize, count: usize, init: &mut Init) -> Linear {
        let shape = [count * outputs, inputs];
        let weight = match self {
            Self::TruncatedNormal => init.truncated_normal(shape, STD),
            Self::XavierSinCos => init.uniform(shape, xavier(inputs, outputs)),
        };
        let bias = Some(init.constant([count * outputs], 0.0));
        Linear { weight, bias, precision: init.precision() }
    }

    /// `weight`: `[dim, 3, patch, patch]`.
    pub(super) fn patch_projection(self, dim: usize, patch: usize, init: &mut Init) -> PatchProjection {
        let (inputs, shape) = (3 * patch * patch, [dim, 3, patch, patch]);
        let bound = 1.0 / (inputs as f64).sqrt();
        match self {
            Self::TruncatedNormal => {
                PatchProjection { weight: init.uniform(shape, bound), bias: init.uniform([dim], bound) }
            }
            Self::XavierSinCos => {
                let weight = init.uniform(shape, xavier(inputs, dim));
                PatchProjection { weight, bias: init.constant([dim], 0.0) }
            }
        }
    }

    /// `[1, 1, dim]`
    pub(super) fn class_token(self, dim: usize, init: &mut Init) -> Param<Tensor<3>> {
        match self {
            Self::TruncatedNormal => init.truncated_normal([1, 1, dim], STD),
            Self::XavierSinCos => init.normal([1, 1, dim], 1e-6),
        }
    }

    /// `[1, count, dim]`
    pub(super) fn registers(self, count: usize, dim: usize, init: &mut Init) -> Param<Tensor<3>> {
        init.normal([1, count, dim], 1e-6)
    }

    /// `[1, dim]`
    pub(super) fn mask_token(self, dim: usize, init: &Init) -> Param<Tensor<2>> {
        init.constant([1, dim], 0.0)
    }

    /// `[1, 1 + side², dim]`, or `[1, side², dim]` without a class token.
    pub(super) fn position_embedding(
        self,
        class_token: bool,
        side: usize,
        dim: usize,
        init: &mut Init,
    ) -> Param<Tensor<3>> {
        let class_tokens = usize::from(class_token);
        let shape = [1, class_tokens + side * side, dim];
        match self {
            Self::TruncatedNormal => init.truncated_normal(shape, STD),
            Self::XavierSinCos => {
                let values = sines_and_cosines(side, dim).split_off((1 - class_tokens) * dim);
                Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), init.device()))
            }
        }
    }
}

/// Bound of a uniform distribution that preserves the variance of both a layer's values and its gradients.
fn xavier(inputs: usize, outputs: usize) -> f64 {
    (6.0 / (inputs + outputs) as f64).sqrt()
}

/// 0 for the class token; for a patch, sine and cosine of its row and column at `dim / 4` frequencies.
///
/// # Panics
/// If `dim` is not a multiple of 4.
fn sines_and_cosines(side: usize, dim: usize) -> Vec<f32> {
    assert!(
        dim.is_multiple_of(4),
        "sines and cosines in two dimensions need a multiple of 4 values, got {dim}"
    );
    let frequency = |index: usize| 10_000_f64.powf(-(index as f64) / (dim / 4) as f64);
    let mut values = vec![0.0; dim];
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        for (position, wave) in
            [(row, f64::sin as fn(f64) -> f64), (row, f64::cos), (column, f64::sin), (column, f64::cos)]
        {
            values.extend((0..dim / 4).map(|index| wave(position as f64 * frequency(index)) as f32));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_distinct_and_the_class_token_has_none() {
        let values = sines_and_cosines(3, 8);
        let rows: Vec<&[f32]> = values.chunks(8).collect();
        assert_eq!(rows.len(), 10);
        assert_eq!(rows[0], [0.0; 8]);
        // Row 0, column 0: the sines are 0 and the cosines 1.
        assert_eq!(rows[1], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        // Column 1 of the same row differs only in the second half.
        assert_eq!(rows[2][..4], rows[1][..4]);
        assert_eq!(
            rows[2][4..],
            [1_f64.sin(), 0.01_f64.sin(), 1_f64.cos(), 0.01_f64.cos()].map(|v| v as f32)
        );
    }
}
