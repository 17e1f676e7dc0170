use burn::tensor::{Tensor, activation::relu};

use crate::VicRegConfig;

/// Embeddings of two views agree, vary in every dimension, and repeat themselves in none.
///
/// ```text
/// L = λ · mean (z1 − z2)²  +  Σ_views ( μ / 2 · mean_d max(0, 1 − sqrt(var_d + 1e-4))  +  ν / dim · Σ_{i ≠ j} Cov_ij² )
/// ```
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, of at least two images; returns: `[1]`
///
/// # Source
/// Bardes et al. 2022, eq. 1 to 6, <https://arxiv.org/abs/2105.04906>; mean and half: the official `main_vicreg.py`.
pub fn vicreg(z1: Tensor<2>, z2: Tensor<2>, weights: &VicRegConfig) -> Tensor<1> {
    let invariance = (z1.clone() - z2.clone()).square().mean().mul_scalar(weights.invariance_weight);
    [z1, z2].into_iter().fold(invariance, |sum, z| sum + spread(z, weights))
}

/// The terms of one view: variance and covariance.
fn spread(z: Tensor<2>, weights: &VicRegConfig) -> Tensor<1> {
    let [batch, dim] = z.dims();
    assert!(batch > 1, "VICReg: a batch of {batch} has no variance, expected at least 2 images");
    let z = z.clone() - z.mean_dim(0);
    let variance = z.clone().square().sum_dim(0).div_scalar(batch as f64 - 1.0);
    let narrow = relu(variance.clone().add_scalar(1e-4).sqrt().neg().add_scalar(1.0)).mean();
    let covariance = z.clone().transpose().matmul(z).div_scalar(batch as f64 - 1.0);
    let redundant = (covariance.square().sum() - variance.square().sum()).div_scalar(dim as f64);
    narrow.mul_scalar(weights.variance_weight / 2.0) + redundant.mul_scalar(weights.covariance_weight)
}
