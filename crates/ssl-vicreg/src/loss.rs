//! The loss of VICReg.

use burn::tensor::{Tensor, activation::relu};
use ssl_core::{Loss, assert_shape, math::sum};

/// Added to the variance of a dimension before its root.
const VARIANCE_EPS: f64 = 1e-4;

/// Embeddings of two views agree, vary in every dimension, and repeat themselves in none.
///
/// ```text
/// L = λ · mean (z1 − z2)²  +  Σ_views ( μ / 2 · mean_d max(0, 1 − sqrt(var_d + 1e-4))  +  ν / dim · Σ_{i ≠ j} C_ij² )
/// C = (z − mean)ᵀ · (z − mean) / (batch − 1),   var = diag C
/// ```
///
/// Constant embeddings cost `0.99 · μ`.
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, used as given
/// - returns: `[1]`
///
/// # Panics
/// If the two shapes differ, or the batch has fewer than two images, since nothing varies in a batch of one.
///
/// # Source
/// Bardes et al. 2022, eq. 1 to 6, <https://arxiv.org/abs/2105.04906>.
/// Differs from eq. 5 and 6 as the official `main_vicreg.py` does: the invariance term is a mean over dimensions instead
/// of a sum, and the variance term has a factor of ½.
pub fn vicreg(z1: Tensor<2>, z2: Tensor<2>, lambda: f64, mu: f64, nu: f64) -> Tensor<1> {
    let [batch, dim] = z1.dims();
    assert_shape!(z2, [batch, dim]);
    assert!(batch > 1, "VICReg: a batch of {batch} has no variance, expected at least 2 images");
    let invariance = (z1.clone() - z2.clone()).square().mean();
    let [(v1, c1), (v2, c2)] = [z1, z2].map(variance_and_covariance);
    invariance.mul_scalar(lambda) + (v1 + v2).mul_scalar(mu / 2.0) + (c1 + c2).mul_scalar(nu)
}

/// The variance and covariance terms of one view, without their weights.
fn variance_and_covariance(z: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let [batch, dim] = z.dims();
    let centered = z.clone() - z.mean_dim(0);
    let variance = centered.clone().square().sum_dim(0).div_scalar(batch as f64 - 1.0);
    let deviation = variance.clone().add_scalar(VARIANCE_EPS).sqrt();
    let narrow = relu(deviation.neg().add_scalar(1.0)).mean();
    let covariance = centered.clone().transpose().matmul(centered).div_scalar(batch as f64 - 1.0);
    // All entries minus the diagonal: a mask would be another matrix of the size of C.
    let redundant = sum(covariance.square()) - variance.square().sum();
    (narrow, redundant.div_scalar(dim as f64))
}

/// [`vicreg`] with its weights.
#[derive(Clone, Copy, Debug)]
pub struct VicRegLoss {
    lambda: f64,
    mu: f64,
    nu: f64,
}

/// The embeddings of the two views.
#[derive(Clone, Debug)]
pub struct VicRegInput {
    /// `[batch, dim]`
    pub z1: Tensor<2>,
    /// `[batch, dim]`
    pub z2: Tensor<2>,
}

impl VicRegLoss {
    /// Creates the loss with the weights of its terms: invariance, variance, covariance.
    pub fn new(lambda: f64, mu: f64, nu: f64) -> Self {
        Self { lambda, mu, nu }
    }
}

impl Loss for VicRegLoss {
    type Input = VicRegInput;

    fn forward(&self, input: VicRegInput) -> Tensor<1> {
        vicreg(input.z1, input.z2, self.lambda, self.mu, self.nu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Int;
    use ssl_testing::oracle::rows;
    use ssl_testing::tensors::{device, of_rows};

    /// Two uncorrelated dimensions of standard deviation `deviation`.
    fn independent(deviation: f64) -> Tensor<2> {
        let signs = Tensor::from_floats([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], &device());
        // The sum of squares is 4, the unbiased variance 4/3.
        signs.mul_scalar(deviation * 0.75_f64.sqrt())
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    fn assert_close(loss: Tensor<1>, want: f32) {
        let got = value(loss);
        assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got} is not {want}");
    }

    #[test]
    fn equal_views_that_vary_enough_in_independent_dimensions_cost_nothing() {
        assert_close(vicreg(independent(2.0), independent(2.0), 25.0, 25.0, 1.0), 0.0);
    }

    #[test]
    fn collapsed_embeddings_cost_the_variance_weight() {
        let constant = Tensor::<2>::ones([4, 3], &device());
        // 1 − sqrt(1e-4) for each view, half of it each.
        assert_close(vicreg(constant.clone(), constant.clone(), 25.0, 25.0, 1.0), 25.0 * 0.99);
        assert_close(vicreg(constant.clone(), constant, 25.0, 0.0, 1.0), 0.0);
    }

    #[test]
    fn dimensions_that_repeat_each_other_cost_the_covariance_weight() {
        let repeated = independent(2.0).narrow(1, 0, 1).repeat(&[1, 3]);
        // Six entries of 4 in each of two matrices, over three dimensions.
        let want = 2.0 * 6.0 * 4.0_f32.powi(2) / 3.0;
        assert_close(vicreg(repeated.clone(), repeated.clone(), 25.0, 25.0, 0.5), 0.5 * want);
        assert_close(vicreg(repeated.clone(), repeated, 25.0, 25.0, 0.0), 0.0);
    }

    #[test]
    fn views_that_differ_by_a_constant_cost_its_square() {
        let (z1, z2) = (independent(2.0), independent(2.0).add_scalar(0.3));
        assert_close(vicreg(z1, z2, 2.0, 25.0, 1.0), 2.0 * 0.09);
    }

    #[test]
    fn the_order_of_the_views_and_of_the_images_does_not_matter_but_their_pairing_does() {
        let (z1, z2) = (of_rows(&rows(5, 3, 1)), of_rows(&rows(5, 3, 2)));
        let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
        let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
        let loss = |z1: Tensor<2>, z2: Tensor<2>| vicreg(z1, z2, 25.0, 25.0, 1.0);
        let want = value(loss(z1.clone(), z2.clone()));
        assert_close(loss(z2.clone(), z1.clone()), want);
        assert_close(loss(permuted(&z1), permuted(&z2)), want);
        assert!((value(loss(z1, permuted(&z2))) - want).abs() > 1e-2);
    }

    #[test]
    fn both_views_get_the_gradient_of_their_place() {
        let (z1, z2) = (of_rows(&rows(6, 3, 1)), of_rows(&rows(6, 3, 2)));
        let gradients = vicreg(z1.clone(), z2.clone(), 25.0, 25.0, 1.0).backward();
        let swapped = vicreg(z2.clone(), z1.clone(), 25.0, 25.0, 1.0).backward();
        for z in [z1, z2] {
            let gradient = z.grad(&gradients).expect("both views are leaves");
            assert!(gradient.clone().abs().max().into_scalar::<f32>() > 1e-3);
            let difference = gradient - z.grad(&swapped).expect("both views are leaves");
            assert!(difference.abs().max().into_scalar::<f32>() < 1e-4);
        }
    }

    #[test]
    #[should_panic(expected = "a batch of 1 has no variance, expected at least 2 images")]
    fn a_batch_of_one_is_refused() {
        let z = Tensor::<2>::ones([1, 3], &device());
        vicreg(z.clone(), z, 25.0, 25.0, 1.0);
    }
}
