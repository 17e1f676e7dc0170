//! The loss of Barlow Twins.

use burn::tensor::Tensor;
use ssl_core::{Loss, assert_shape, math::sum};

/// Added to the variance of a dimension: the default of the batch norm in the official loss.
const VARIANCE_EPS: f64 = 1e-5;

/// Pushes the cross-correlation matrix of the embeddings of two views towards the identity.
///
/// ```text
/// ẑ = (z − mean) / sqrt(var + 1e-5)          per dimension over the batch, biased variance
/// C = ẑ1ᵀ · ẑ2 / batch
/// L = scale · ( Σ_i (C_ii − 1)²  +  off_diagonal_weight · Σ_{i ≠ j} C_ij² )
/// ```
///
/// A constant dimension contributes 0 to `C`, so constant embeddings cost `scale · dim`.
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, standardised here
/// - returns: `[1]`
///
/// # Panics
/// If the two shapes differ, or the batch has fewer than two images, since nothing varies in a batch of one.
///
/// # Source
/// Zbontar et al. 2021, eq. 1 and 2, <https://arxiv.org/abs/2103.03230>; the epsilon and the biased variance are from
/// the official `main.py`, whose loss starts with a `BatchNorm1d(affine=False)`. Its running statistics are not kept
/// here: nothing reads them.
pub fn barlow_twins(z1: Tensor<2>, z2: Tensor<2>, off_diagonal_weight: f64, scale: f64) -> Tensor<1> {
    let [batch, dim] = z1.dims();
    assert_shape!(z2, [batch, dim]);
    assert!(batch > 1, "Barlow Twins: a batch of {batch} has no variance, expected at least 2 images");
    let (z1, z2) = (standardize(z1), standardize(z2));

    let diagonal = (z1.clone() * z2.clone()).mean_dim(0);
    let on_diagonal = diagonal.clone().sub_scalar(1.0).square().sum();
    // All entries minus the diagonal: a mask would be another matrix of the size of C.
    let all = sum(z1.transpose().matmul(z2).div_scalar(batch as f64).square());
    let off_diagonal = all - diagonal.square().sum();
    (on_diagonal + off_diagonal.mul_scalar(off_diagonal_weight)).mul_scalar(scale)
}

/// Standardises each column to mean 0 and variance 1.
fn standardize(z: Tensor<2>) -> Tensor<2> {
    let centered = z.clone() - z.mean_dim(0);
    let variance = centered.clone().square().mean_dim(0);
    centered / variance.add_scalar(VARIANCE_EPS).sqrt()
}

/// [`barlow_twins`] with its weight and scale.
#[derive(Clone, Copy, Debug)]
pub struct BarlowTwinsLoss {
    off_diagonal_weight: f64,
    scale: f64,
}

/// The embeddings of the two views.
#[derive(Clone, Debug)]
pub struct BarlowTwinsInput {
    /// `[batch, dim]`
    pub z1: Tensor<2>,
    /// `[batch, dim]`
    pub z2: Tensor<2>,
}

impl BarlowTwinsLoss {
    /// Creates the loss with `λ`, the weight of the redundancy term, and a factor on the whole loss.
    pub fn new(off_diagonal_weight: f64, scale: f64) -> Self {
        Self { off_diagonal_weight, scale }
    }
}

impl Loss for BarlowTwinsLoss {
    type Input = BarlowTwinsInput;

    fn forward(&self, input: BarlowTwinsInput) -> Tensor<1> {
        barlow_twins(input.z1, input.z2, self.off_diagonal_weight, self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int, Tolerance};
    use ssl_core::DeviceSpec;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    /// Two uncorrelated dimensions.
    fn independent() -> Tensor<2> {
        Tensor::from_floats([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], &device())
    }

    /// Deterministic pseudo-random rows.
    fn rows(batch: usize, dim: usize, seed: f32) -> Tensor<2> {
        let places = Tensor::<1, Int>::arange(1..(batch * dim) as i64 + 1, &device()).float();
        (places.clone() * places * 0.618 + seed).sin().reshape([batch, dim])
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    fn assert_close(loss: Tensor<1>, want: f32) {
        let got = value(loss);
        assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got} is not {want}");
    }

    #[test]
    fn equal_views_with_independent_dimensions_cost_nothing() {
        assert_close(barlow_twins(independent(), independent(), 1.0, 1.0), 0.0);
    }

    #[test]
    fn dimensions_that_repeat_each_other_cost_the_redundancy_weight() {
        let repeated = independent().narrow(1, 0, 1).repeat(&[1, 3]);
        assert_close(barlow_twins(repeated.clone(), repeated, 0.5, 1.0), 0.5 * 6.0);
    }

    #[test]
    fn opposite_views_cost_four_per_dimension() {
        assert_close(barlow_twins(independent(), independent().neg(), 1.0, 1.0), 8.0);
    }

    #[test]
    fn collapsed_embeddings_cost_one_per_dimension() {
        let constant = Tensor::<2>::ones([4, 3], &device());
        assert_close(barlow_twins(constant.clone(), constant, 0.1, 1.0), 3.0);
    }

    #[test]
    fn the_scale_multiplies_the_loss() {
        let (z1, z2) = (rows(6, 3, 0.0), rows(6, 3, 1.0));
        let one = value(barlow_twins(z1.clone(), z2.clone(), 0.1, 1.0));
        assert_close(barlow_twins(z1, z2, 0.1, 0.25), 0.25 * one);
    }

    #[test]
    fn mean_and_size_of_a_dimension_and_the_order_of_the_views_do_not_matter() {
        let (z1, z2) = (rows(6, 3, 0.0), rows(6, 3, 1.0));
        let want = value(barlow_twins(z1.clone(), z2.clone(), 0.1, 1.0));
        assert_close(barlow_twins(z2.clone(), z1.clone(), 0.1, 1.0), want);
        let size = Tensor::<2>::from_floats([[30.0, 7.0, 90.0]], &device());
        assert_close(barlow_twins(z1 * size.clone() + size.recip(), z2, 0.1, 1.0), want);
    }

    #[test]
    fn the_order_of_the_images_does_not_matter_but_their_pairing_does() {
        let (z1, z2) = (rows(5, 3, 0.0), rows(5, 3, 1.0));
        let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
        let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
        let want = value(barlow_twins(z1.clone(), z2.clone(), 0.1, 1.0));
        assert_close(barlow_twins(permuted(&z1), permuted(&z2), 0.1, 1.0), want);
        assert!((value(barlow_twins(z1, permuted(&z2), 0.1, 1.0)) - want).abs() > 1e-2);
    }

    #[test]
    fn both_views_get_a_gradient() {
        let leaf = |z: Tensor<2>| Tensor::from_data(z.into_data(), &device().autodiff()).require_grad();
        let (z1, z2) = (leaf(rows(6, 3, 0.0)), leaf(rows(6, 3, 1.0)));
        let forward = barlow_twins(z1.clone(), z2.clone(), 0.1, 1.0).backward();
        let swapped = barlow_twins(z2.clone(), z1.clone(), 0.1, 1.0).backward();
        for z in [z1, z2] {
            let gradient = z.grad(&forward).expect("both views are leaves").into_data();
            let same = z.grad(&swapped).expect("both views are leaves").into_data();
            gradient.assert_approx_eq::<f32>(&same, Tolerance::absolute(1e-5));
            assert!(gradient.iter::<f32>().any(|g| g.abs() > 1e-3));
        }
    }

    #[test]
    #[should_panic(expected = "a batch of 1 has no variance, expected at least 2 images")]
    fn a_batch_of_one_is_refused() {
        barlow_twins(rows(1, 3, 0.0), rows(1, 3, 1.0), 0.1, 1.0);
    }
}
