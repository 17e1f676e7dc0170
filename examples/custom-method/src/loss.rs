use burn::tensor::Tensor;
use burn_ssl::core::math::{NORMALIZE_EPS, l2_normalize};

use crate::AlignUniformConfig;

/// Embeddings of two views of an image are near each other, and those of all images spread over the sphere.
///
/// ```text
/// L = align_weight · alignment(z1, z2)  +  uniform_weight · ½ ( uniformity(z1) + uniformity(z2) )
/// ```
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, of at least two images, normalised here; returns: `[1]`
///
/// # Source
/// Wang & Isola 2020, section 5, <https://arxiv.org/abs/2005.10242>; the mean of both views: the official README.
pub fn align_uniform(z1: Tensor<2>, z2: Tensor<2>, options: &AlignUniformConfig) -> Tensor<1> {
    let aligned = alignment(z1.clone(), z2.clone(), options.alpha).mul_scalar(options.align_weight);
    let uniform = uniformity(z1, options.t) + uniformity(z2, options.t);
    aligned + uniform.mul_scalar(options.uniform_weight / 2.0)
}

/// The mean distance between the views of an image: `mean ‖x − y‖^α`.
pub fn alignment(x: Tensor<2>, y: Tensor<2>, alpha: f64) -> Tensor<1> {
    let (x, y) = (l2_normalize(x, NORMALIZE_EPS), l2_normalize(y, NORMALIZE_EPS));
    // Below 2, the power has no derivative at 0.
    (x - y).square().sum_dim(1).clamp_min(1e-12).powf_scalar(alpha / 2.0).mean()
}

/// How close images are to each other: `log mean_{i < j} exp(−t · ‖x_i − x_j‖²)`, 0 when all embeddings are equal.
pub fn uniformity(x: Tensor<2>, t: f64) -> Tensor<1> {
    let [batch, _] = x.dims();
    assert!(batch > 1, "uniformity: a batch of {batch} has no pairs, expected at least 2 images");
    let x = l2_normalize(x, NORMALIZE_EPS);
    let squared_distances = x.clone().matmul(x.transpose()).mul_scalar(-2.0).add_scalar(2.0);
    let closeness = squared_distances.mul_scalar(-t).exp();
    // Each pair stands there twice; on the diagonal, an image is compared with itself.
    let pairs = closeness.sum() - batch as f64;
    pairs.div_scalar((batch * (batch - 1)) as f64).log()
}
