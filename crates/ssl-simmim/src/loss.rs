//! The loss of SimMIM.

use burn::tensor::Tensor;
use ssl_core::patches::patchify;
use ssl_core::{Loss, assert_shape};

/// Mean absolute error of the predicted pixels of hidden patches.
///
/// ```text
/// L = Σ hidden · mean over pixels of |pred − pixels| / Σ hidden
/// ```
///
/// # Shapes
/// - `images`: `[batch, channel, height, width]`, used without gradient
/// - `pred`: `[batch, patch, pixel]`, patches row by row and pixels as [`patchify`] orders them
/// - `hidden`: `[batch, patch]`, 1 for a hidden patch and 0 for another; at least one is hidden
/// - returns: `[1]`
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// Xie et al. 2021, section 3.3, eq. 1, <https://arxiv.org/abs/2111.09886>; official `simmim.py`, which adds 1e-5 to the number
/// of hidden pixels.
pub fn simmim(images: Tensor<4>, pred: Tensor<3>, hidden: Tensor<2>) -> Tensor<1> {
    let [batch, patches, pixels] = pred.dims();
    let [_, channels, _, _] = images.dims();
    let target = patchify(images.without_autodiff(), (pixels / channels).isqrt());
    assert_shape!(target, [batch, patches, pixels]);
    assert_shape!(hidden, [batch, patches]);
    let errors = (pred - target).abs().mean_dim(2).squeeze_dim::<2>(2);
    (errors * hidden.clone()).sum() / hidden.sum()
}

/// [`simmim`].
#[derive(Clone, Copy, Debug)]
pub struct SimMimLoss;

/// Images, their predicted pixels, and which patches were hidden.
#[derive(Clone, Debug)]
pub struct SimMimInput {
    /// `[batch, channel, height, width]`
    pub images: Tensor<4>,
    /// `[batch, patch, pixel]`
    pub pred: Tensor<3>,
    /// `[batch, patch]`
    pub hidden: Tensor<2>,
}

impl Loss for SimMimLoss {
    type Input = SimMimInput;

    fn forward(&self, input: SimMimInput) -> Tensor<1> {
        simmim(input.images, input.pred, input.hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::{crops, device};

    fn images() -> Tensor<4> {
        crops(2, 8, 0.0)
    }

    /// One of the four patches of the first image, two of the second.
    fn hidden() -> Tensor<2> {
        Tensor::from_floats([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], &device())
    }

    #[test]
    fn an_offset_of_all_predictions_is_the_loss() {
        let of =
            |offset: f64| simmim(images(), patchify(images(), 4) + offset, hidden()).into_scalar::<f32>();
        assert_eq!(of(0.0), 0.0);
        assert!((of(0.5) - 0.5).abs() < 1e-6 && (of(-0.25) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn only_predictions_of_hidden_patches_get_a_gradient_and_the_target_gets_none() {
        let images = images().autodiff().require_grad();
        let pred = Tensor::<3>::zeros([2, 4, 48], &device()).autodiff().require_grad();
        let gradients = simmim(images.clone(), pred.clone(), hidden()).backward();
        assert!(images.grad(&gradients).is_none(), "the target has a gradient");
        let of_pred = pred.grad(&gradients).expect("it is what is trained").abs().sum_dim(2);
        // Every pixel pulls alike, however far it is: a third of the patches, and of each a 48th.
        let found: Vec<f32> = of_pred.into_data().iter().collect();
        for (found, hidden) in found.into_iter().zip(hidden().into_data().iter::<f32>()) {
            assert!((found - hidden / 3.0).abs() < 1e-6, "{found} for {hidden}");
        }
    }

    #[test]
    #[should_panic(expected = "hidden has shape [2, 4], expected [batch, patches] = [2, 16]")]
    fn a_mask_of_another_grid_is_refused() {
        simmim(crops(2, 8, 0.0), Tensor::zeros([2, 16, 12], &device()), hidden());
    }
}
