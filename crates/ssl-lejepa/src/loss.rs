//! The loss of LeJEPA.

use burn::tensor::Tensor;
use ssl_core::Loss;

use crate::SigReg;

/// All views of an image have one embedding, and embeddings are normally distributed.
///
/// ```text
/// L = λ · SIGReg(proj)  +  (1 − λ) · mean over views, images and dimensions of (proj_v − c)²
/// c = mean over the global views of the same image
/// ```
///
/// No gradient is stopped: views move towards the centre, and the centre towards them.
///
/// # Source
/// Balestriero & LeCun 2025, <https://arxiv.org/abs/2511.08544>; official `MINIMAL.md`, where all views are global.
#[derive(Clone, Debug)]
pub struct LeJepaLoss {
    lambda: f64,
    sigreg: SigReg,
}

/// The embeddings of all views, and random directions.
#[derive(Clone, Debug)]
pub struct LeJepaInput {
    /// Embeddings of the global views and of the local ones after them, `[view, batch, dim]`.
    pub proj: Tensor<3>,
    /// Number of global views.
    pub global_views: usize,
    /// Directions of unit length, `[dim, slice]`.
    pub slices: Tensor<2>,
}

impl LeJepaLoss {
    /// Creates the loss with `λ`, the weight of SIGReg.
    pub fn new(lambda: f64, sigreg: SigReg) -> Self {
        Self { lambda, sigreg }
    }
}

impl Loss for LeJepaLoss {
    type Input = LeJepaInput;

    /// # Panics
    /// If there are fewer views than global ones, or none is global.
    fn forward(&self, input: LeJepaInput) -> Tensor<1> {
        let LeJepaInput { proj, global_views, slices } = input;
        let [views, ..] = proj.dims();
        assert!((1..=views).contains(&global_views), "LeJEPA: {global_views} global views among {views}");
        let center = proj.clone().narrow(0, 0, global_views).mean_dim(0);
        let spread = (proj.clone() - center).square().mean();
        let statistic = self.sigreg.forward(proj, slices);
        statistic.mul_scalar(self.lambda) + spread.mul_scalar(1.0 - self.lambda)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use ssl_testing::oracle::rows;
    use ssl_testing::tensors::{device, of_rows};

    fn slices(device: &Device) -> Tensor<2> {
        Tensor::<2>::eye(3, device)
    }

    fn loss(lambda: f64, proj: Tensor<3>, global_views: usize) -> Tensor<1> {
        let slices = slices(&proj.device().inner());
        LeJepaLoss::new(lambda, SigReg::new(17, 3.0)).forward(LeJepaInput { proj, global_views, slices })
    }

    /// Views of four images in three dimensions.
    fn proj(views: usize) -> Tensor<3> {
        of_rows(&rows(views * 4, 3, 1)).reshape([views, 4, 3])
    }

    #[test]
    fn the_centre_is_that_of_the_global_views_alone() {
        let constant = |value: f64| Tensor::<3>::full([1, 4, 3], value, &device());
        let views = Tensor::cat(vec![constant(1.0), constant(3.0), constant(5.0)], 0);
        // Squares of the distances to 2, and to 3.
        let spread = |global| loss(0.0, views.clone(), global).into_scalar::<f32>();
        assert!((spread(2) - (1.0 + 1.0 + 9.0) / 3.0).abs() < 1e-5);
        assert!((spread(3) - (4.0 + 0.0 + 4.0) / 3.0).abs() < 1e-5);
    }

    #[test]
    fn equal_embeddings_cost_nothing_without_sigreg_and_much_with_it() {
        let equal = Tensor::<3>::zeros([2, 64, 3], &device());
        assert_eq!(loss(0.0, equal.clone(), 2).into_scalar::<f32>(), 0.0);
        assert!(loss(0.05, equal, 2).into_scalar::<f32>() > 1.0);
    }

    #[test]
    fn no_gradient_is_stopped_on_the_way_through_the_centre() {
        // Two views: the derivative of a half of (a − b)² by a is a − b. With a stopped centre, it would be half of that.
        let [a, b] = [1, 2].map(|seed| of_rows(&rows(4, 3, seed)));
        let both = Tensor::stack::<3>(vec![a.clone(), b.clone()], 0);
        let gradients = loss(0.0, both, 2).backward();
        // The loss is the mean over 24 numbers of ((a − b) / 2)², of which each pair has two.
        let want = (a.clone() - b.clone()).inner().div_scalar(24.0);
        let found = a.grad(&gradients).expect("a leaf");
        assert!((found - want.clone()).abs().max().into_scalar::<f32>() < 1e-6);
        let found = b.grad(&gradients).expect("a leaf");
        assert!((found + want).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn the_weight_goes_from_invariance_to_the_distribution() {
        let value = |lambda| f64::from(loss(lambda, proj(3), 2).into_scalar::<f32>());
        assert!((value(0.3) - (0.7 * value(0.0) + 0.3 * value(1.0))).abs() < 1e-4);
    }

    #[test]
    #[should_panic(expected = "4 global views among 3")]
    fn more_global_views_than_views_are_refused() {
        loss(0.1, proj(3), 4);
    }
}
