//! The loss of I-JEPA.

use burn::tensor::{Int, Tensor};
use ssl_core::loss::smooth_l1;
use ssl_core::math::standardize;
use ssl_core::patches::rows_at;
use ssl_core::{Loss, assert_shape};

/// Added to the variance of a target (PyTorch's default, official `train.py`, `forward_target`).
const EPS: f64 = 1e-5;

/// The targets: the teacher's tokens of the target patches, each normalised over its own values.
///
/// ```text
/// h      = (tokens − mean) / sqrt(var + 1e-5),   biased variance, over the values of a token
/// target = h at the patches of each block
/// ```
///
/// # Shapes
/// - `tokens`: `[batch, patch, dim]`, used without gradient
/// - `places`: `[block, batch, target]`
/// - returns: `[block · batch, target, dim]`, block by block
///
/// # Source
/// Official `train.py`, `forward_target`.
pub fn targets_of(tokens: Tensor<3>, places: Tensor<3, Int>) -> Tensor<3> {
    let ([blocks, batch, count], [_, patches, dim]) = (places.dims(), tokens.dims());
    let h = standardize(tokens.without_autodiff(), EPS);
    let h = h.unsqueeze::<4>().expand([blocks, batch, patches, dim]).reshape([blocks * batch, patches, dim]);
    rows_at(h, places.reshape([blocks * batch, count]))
}

/// Smooth L1 distance of predicted tokens to the teacher's, with β = 1.
///
/// ```text
/// d = pred − target
/// L = mean over all elements of (d² / 2 if |d| < 1, otherwise |d| − 1/2)
/// ```
///
/// # Shapes
/// - `pred`: `[block · batch, target, dim]`, block by block
/// - `tokens`: `[batch, patch, dim]`, the teacher's tokens of all patches, used without gradient
/// - `places`: `[block, batch, target]`, the patches of the targets
/// - returns: `[1]`
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// Official `train.py`, `loss_fn`. Assran et al. 2023, section 3, <https://arxiv.org/abs/2301.08243>, has the squared distance.
pub fn ijepa(pred: Tensor<3>, tokens: Tensor<3>, places: Tensor<3, Int>) -> Tensor<1> {
    let target = targets_of(tokens, places);
    let [rows, count, dim] = target.dims();
    assert_shape!(pred, [rows, count, dim]);
    smooth_l1(pred, target)
}

/// [`ijepa`].
#[derive(Clone, Copy, Debug)]
pub struct IJepaLoss;

/// Predictions, the teacher's tokens, and the places of the targets.
#[derive(Clone, Debug)]
pub struct IJepaInput {
    /// `[block · batch, target, dim]`
    pub pred: Tensor<3>,
    /// `[batch, patch, dim]`
    pub tokens: Tensor<3>,
    /// `[block, batch, target]`
    pub places: Tensor<3, Int>,
}

impl Loss for IJepaLoss {
    type Input = IJepaInput;

    fn forward(&self, input: IJepaInput) -> Tensor<1> {
        ijepa(input.pred, input.tokens, input.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::{crops, device};

    /// Tokens of two images of four patches, and two blocks of two patches.
    fn tokens() -> Tensor<3> {
        crops(2, 4, 0.0).reshape([2, 4, 12])
    }

    fn places() -> Tensor<3, Int> {
        Tensor::from_data([[[0, 3], [1, 2]], [[2, 1], [0, 1]]], &device())
    }

    fn value(pred: Tensor<3>) -> f32 {
        ijepa(pred, tokens(), places()).into_scalar()
    }

    #[test]
    fn the_targets_themselves_cost_nothing_and_far_ones_cost_their_distance_less_a_half() {
        let target = targets_of(tokens(), places());
        assert_eq!(value(target.clone()), 0.0);
        assert!((value(target.clone() + 0.5) - 0.125).abs() < 1e-5);
        assert!((value(target - 3.0) - 2.5).abs() < 1e-5);
    }

    #[test]
    fn length_and_offset_of_a_token_do_not_change_the_target() {
        let (one, other) = (targets_of(tokens(), places()), targets_of(tokens() * 5.0 + 3.0, places()));
        let apart: f32 = (one - other).abs().max().into_scalar();
        assert!(apart < 1e-3, "{apart}");
    }

    #[test]
    fn the_teacher_gets_no_gradient_and_far_predictions_pull_no_more() {
        let tokens = tokens().autodiff().require_grad();
        let pred = (targets_of(tokens.clone(), places()) + 7.0).autodiff().require_grad();
        let gradients = ijepa(pred.clone(), tokens.clone(), places()).backward();
        assert!(tokens.grad(&gradients).is_none(), "the teacher has a gradient");
        let of_pred: Vec<f32> = pred.grad(&gradients).expect("it is trained").into_data().iter().collect();
        let each = 1.0 / of_pred.len() as f32;
        assert!(of_pred.iter().all(|found| (found - each).abs() < 1e-7), "{of_pred:?}");
    }

    #[test]
    #[should_panic(expected = "pred has shape [3, 2, 12], expected [rows, count, dim] = [4, 2, 12]")]
    fn predictions_of_other_blocks_are_refused() {
        value(Tensor::zeros([3, 2, 12], &device()));
    }
}
