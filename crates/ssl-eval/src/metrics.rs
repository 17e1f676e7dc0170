//! Metrics of a representation that need no labels.

use burn::tensor::Tensor;
use nalgebra::DMatrix;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};

/// How many dimensions the features use: the exponential of the entropy of their singular values.
///
/// ```text
/// p = σ / Σσ + eps,   exp(−Σ p log p)          σ: singular values of z, not centred
/// ```
///
/// `eps` is 1e-7 for RankMe and 0 for the effective rank.
///
/// # Shapes
/// - `z`: `[row, dim]`
/// - returns: about 1 when collapsed, at most `min(row, dim)`, up to the effect of `eps`
///
/// # Source
/// Garrido et al. 2023, eq. 1, <https://arxiv.org/abs/2210.02885>; Roy & Vetterli 2007 for the effective rank.
pub fn rankme(z: Tensor<2>, eps: f64) -> f64 {
    let sigma = singular_values(z);
    let sum: f64 = sigma.iter().sum();
    let entropy = |sigma: f64| match sigma / sum + eps {
        p if p > 0.0 => -p * p.ln(),
        _ => 0.0,
    };
    sigma.into_iter().map(entropy).sum::<f64>().exp()
}

/// Computed from the eigenvalues of the smaller Gram matrix in float64, which is exact enough for float32 features.
fn singular_values(z: Tensor<2>) -> Vec<f64> {
    let [rows, dim] = z.dims();
    let values: Vec<f64> = z.into_data().iter::<f64>().collect();
    let z = DMatrix::from_row_slice(rows, dim, &values);
    let gram = if rows < dim { &z * z.transpose() } else { z.transpose() * &z };
    gram.symmetric_eigenvalues().iter().map(|eigenvalue| eigenvalue.max(0.0).sqrt()).collect()
}

/// How far apart two views of an image are: 0 when all pairs coincide.
///
/// ```text
/// mean over rows of ‖l2_normalize(x) − l2_normalize(y)‖^alpha
/// ```
///
/// # Shapes
/// - `x`, `y`: `[row, dim]`
///
/// # Source
/// Wang & Isola 2020, section 4.1, <https://arxiv.org/abs/2005.10242>; `alpha` is 2 there.
pub fn alignment(x: Tensor<2>, y: Tensor<2>, alpha: f64) -> f64 {
    let difference = l2_normalize(x, NORMALIZE_EPS) - l2_normalize(y, NORMALIZE_EPS);
    let squared: Vec<f64> = difference.square().sum_dim(1).into_data().iter::<f64>().collect();
    squared.iter().map(|squared| squared.powf(alpha / 2.0)).sum::<f64>() / squared.len() as f64
}

/// How evenly features fill the sphere: 0 when collapsed, negative when spread.
///
/// ```text
/// log mean over pairs i < j of exp(−t ‖l2_normalize(x_i) − l2_normalize(x_j)‖²)
/// ```
///
/// # Shapes
/// - `x`: `[row, dim]`; needs memory for `row²` numbers
///
/// # Source
/// Wang & Isola 2020, section 4.1, <https://arxiv.org/abs/2005.10242>; `t` is 2 there.
pub fn uniformity(x: Tensor<2>, t: f64) -> f64 {
    let [rows, _] = x.dims();
    let x = l2_normalize(x, NORMALIZE_EPS);
    let cosines: Vec<f64> = x.clone().matmul(x.transpose()).into_data().iter::<f64>().collect();
    let potential = |row: usize| -> f64 {
        let others = &cosines[row * rows + row + 1..(row + 1) * rows];
        others.iter().map(|cosine| (-t * (2.0 - 2.0 * cosine)).exp()).sum()
    };
    let pairs = rows * (rows - 1) / 2;
    ((0..rows).map(potential).sum::<f64>() / pairs as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    fn rows<const N: usize>(rows: [[f32; 3]; N]) -> Tensor<2> {
        Tensor::from_floats(rows, &DeviceSpec::Flex.open().expect("flex is compiled in"))
    }

    #[test]
    fn the_rank_counts_directions_and_not_rows() {
        let collapsed = rows([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [-1.0, -2.0, -3.0], [0.5, 1.0, 1.5]]);
        let spread = rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!((rankme(collapsed, 1e-7) - 1.0).abs() < 1e-4);
        assert!((rankme(spread, 0.0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn equal_views_are_aligned_and_equal_images_are_not_uniform() {
        let x = rows([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]);
        assert_eq!(alignment(x.clone(), x.clone() * 3.0, 2.0), 0.0);
        assert!((alignment(x.clone(), x.clone().flip([0]), 2.0) - 2.0).abs() < 1e-6);
        assert!((uniformity(x, 2.0) + 4.0).abs() < 1e-5);
        assert!(uniformity(rows([[1.0, 2.0, 0.0]; 4]), 2.0).abs() < 1e-5);
    }
}
