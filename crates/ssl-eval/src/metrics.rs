//! Metrics of a representation that need no labels.

use burn::tensor::Tensor;
use nalgebra::DMatrix;
use ssl_core::assert_shape;
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

/// The share of views whose nearest neighbour among all other views belongs to the same group, from 0 to 1.
///
/// With one group per image this asks whether the two views of an image find each other; with one per class, whether a view
/// finds its class. Neighbours are ranked by cosine. A tie with a view of another group is no find, so collapsed features
/// find nothing.
///
/// # Shapes
/// - `x`, `y`: the features of one view each of the same images, `[image, dim]`
/// - `groups`: the group of each image
///
/// # Panics
/// If there are no two images, or the numbers of rows and groups differ.
pub fn view_retrieval(x: Tensor<2>, y: Tensor<2>, groups: &[i64]) -> f64 {
    let [images, dim] = x.dims();
    assert_shape!(y, [images, dim]);
    assert!(images > 1 && groups.len() == images, "{} groups of {images} images", groups.len());
    let z = l2_normalize(Tensor::cat(vec![x, y], 0), NORMALIZE_EPS);
    let cosines: Vec<f32> = z.clone().matmul(z.transpose()).into_data().iter().collect();
    let found = cosines.chunks(2 * images).enumerate().filter(|(view, row)| {
        let best = |own: bool| {
            let others = row.iter().enumerate().filter(|(other, _)| other != view);
            let of_kind =
                others.filter(|(other, _)| (groups[other % images] == groups[view % images]) == own);
            of_kind.map(|(_, &cosine)| cosine).fold(f32::NEG_INFINITY, f32::max)
        };
        best(true) > best(false)
    });
    found.count() as f64 / (2 * images) as f64
}

/// What [`view_retrieval`] is on average for features without information.
///
/// # Panics
/// If there are no two images.
pub fn view_retrieval_chance(groups: &[i64]) -> f64 {
    let images = groups.len();
    assert!(images > 1, "{images} images");
    let own = |group: &i64| 2 * groups.iter().filter(|other| *other == group).count() - 1;
    groups.iter().map(own).sum::<usize>() as f64 / (images * (2 * images - 1)) as f64
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
    fn views_that_coincide_find_each_other_and_collapsed_ones_find_nothing() {
        let x = rows([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]);
        let groups = [0, 1, 2];
        assert_eq!(view_retrieval(x.clone(), x.clone() * 5.0, &groups), 1.0);
        assert_eq!(view_retrieval(x.clone(), x.flip([0]), &groups), 1.0 / 3.0);
        let same = rows([[1.0, 2.0, 0.5]; 3]);
        assert_eq!(view_retrieval(same.clone(), same, &groups), 0.0);
    }

    #[test]
    fn chance_counts_the_other_views_of_a_group() {
        assert_eq!(view_retrieval_chance(&[0, 1, 2]), 1.0 / 5.0);
        assert_eq!(view_retrieval_chance(&[4, 4]), 1.0);
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
