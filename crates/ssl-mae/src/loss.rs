//! The loss of MAE.

use burn::tensor::Tensor;
use ssl_core::patches::{patchify, standardize};
use ssl_core::{Loss, assert_shape};

/// Added to the variance of a patch's pixels (official `models_mae.py`, `forward_loss`).
const EPS: f64 = 1e-6;

/// Mean squared error of the predicted pixels of hidden patches.
///
/// ```text
/// t = pixels of the patches, or (pixels − mean) / sqrt(var + 1e-6) of every patch, unbiased variance
/// L = Σ hidden · mean over pixels of (pred − t)² / Σ hidden
/// ```
///
/// # Shapes
/// - `images`: `[batch, channel, height, width]`, used without gradient
/// - `pred`: `[batch, patch, pixel]`, patches row by row and pixels as [`patchify`] orders them
/// - `hidden`: `[batch, patch]`, 1 for a hidden patch and 0 for one that the encoder saw; at least one is hidden
/// - returns: `[1]`
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// He et al. 2021, section 3, <https://arxiv.org/abs/2111.06377>; official `models_mae.py`, `forward_loss`.
pub fn mae(images: Tensor<4>, pred: Tensor<3>, hidden: Tensor<2>, norm_pix: bool) -> Tensor<1> {
    let [batch, patches, pixels] = pred.dims();
    let [_, channels, _, _] = images.dims();
    let target = patchify(images.without_autodiff(), (pixels / channels).isqrt());
    assert_shape!(target, [batch, patches, pixels]);
    assert_shape!(hidden, [batch, patches]);
    let target = if norm_pix { standardize(target, EPS) } else { target };
    let errors = (pred - target).square().mean_dim(2).squeeze_dim::<2>(2);
    (errors * hidden.clone()).sum() / hidden.sum()
}

/// [`mae`] with its kind of target.
#[derive(Clone, Copy, Debug)]
pub struct MaeLoss {
    norm_pix: bool,
}

/// Images, their predicted pixels, and which patches were hidden.
#[derive(Clone, Debug)]
pub struct MaeInput {
    /// `[batch, channel, height, width]`
    pub images: Tensor<4>,
    /// `[batch, patch, pixel]`
    pub pred: Tensor<3>,
    /// `[batch, patch]`
    pub hidden: Tensor<2>,
}

impl MaeLoss {
    /// Creates the loss; `norm_pix` standardises the pixels of every patch.
    pub fn new(norm_pix: bool) -> Self {
        Self { norm_pix }
    }
}

impl Loss for MaeLoss {
    type Input = MaeInput;

    fn forward(&self, input: MaeInput) -> Tensor<1> {
        mae(input.images, input.pred, input.hidden, self.norm_pix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::{crops, device};

    /// Two images of 2×2 patches of 4 pixels a side, of which the first image hides one and the second two.
    fn images() -> Tensor<4> {
        crops(2, 8, 0.0)
    }

    fn hidden() -> Tensor<2> {
        Tensor::from_floats([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], &device())
    }

    fn value(pred: Tensor<3>, norm_pix: bool) -> f32 {
        mae(images(), pred, hidden(), norm_pix).into_scalar()
    }

    #[test]
    fn the_pixels_themselves_cost_nothing() {
        assert_eq!(value(patchify(images(), 4), false), 0.0);
        assert!(value(standardize(patchify(images(), 4), EPS), true) < 1e-12);
    }

    #[test]
    fn the_mean_of_every_patch_costs_its_variance() {
        // Of standardised pixels: 47/48 with the unbiased variance, of 48 pixels.
        let none = value(Tensor::zeros([2, 4, 48], &device()), true);
        assert!((none - 47.0 / 48.0).abs() < 1e-4, "{none}");
        // An offset of all predictions of hidden patches adds its square.
        let off = value(patchify(images(), 4) + 0.5, false);
        assert!((off - 0.25).abs() < 1e-6, "{off}");
    }

    #[test]
    fn brightness_and_contrast_of_a_patch_do_not_change_a_standardised_target() {
        let pred = crops(2, 8, 1.0).reshape([2, 4, 48]);
        let of =
            |images: Tensor<4>, norm_pix| mae(images, pred.clone(), hidden(), norm_pix).into_scalar::<f32>();
        let changed = || images() * 3.0 + 2.0;
        assert!((of(images(), true) - of(changed(), true)).abs() < 1e-4);
        assert!((of(images(), false) - of(changed(), false)).abs() > 1.0);
    }

    #[test]
    fn only_predictions_of_hidden_patches_get_a_gradient_and_the_target_gets_none() {
        let images = images().autodiff().require_grad();
        let pred = Tensor::<3>::zeros([2, 4, 48], &device()).autodiff().require_grad();
        let gradients = mae(images.clone(), pred.clone(), hidden(), true).backward();
        assert!(images.grad(&gradients).is_none(), "the target has a gradient");
        let of_pred = pred.grad(&gradients).expect("it is what is trained").abs().sum_dim(2);
        let found: Vec<bool> = of_pred.into_data().iter::<f32>().map(|sum| sum > 0.0).collect();
        let expected: Vec<bool> = hidden().into_data().iter::<f32>().map(|hidden| hidden > 0.0).collect();
        assert_eq!(found, expected);
    }

    #[test]
    #[should_panic(expected = "hidden has shape [2, 4], expected [batch, patches] = [2, 16]")]
    fn a_mask_of_another_grid_is_refused() {
        mae(crops(2, 8, 0.0), Tensor::zeros([2, 16, 12], &device()), hidden(), true);
    }
}
