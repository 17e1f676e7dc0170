//! The loss of DCL and DCLW.

use burn::tensor::{Tensor, activation::softmax};
use ssl_core::loss::{RowLoss, Similarities};
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Loss, assert_shape};

/// Decoupled contrastive loss: NT-Xent whose denominator lacks the positive, so that a positive that is easy to find
/// does not weaken the push of the negatives.
///
/// ```text
/// ℓ(a, b) = mean over i of  −w_i · ⟨a_i, b_i⟩ / T  +  log Σ_{j ≠ i} ( exp(⟨a_i, a_j⟩ / T) + exp(⟨a_i, b_j⟩ / T) )
/// L       = ½ ( ℓ(z1, z2) + ℓ(z2, z1) )
/// w_i     = 1  in DCL,   2 − batch · softmax over i of (⟨a_i, b_i⟩ / σ)  in DCLW, without gradient
/// ```
///
/// The similarities of all pairs are computed one block of rows at a time, see [`Similarities`].
///
/// # Shapes
/// - `z1`, `z2`: `[batch, dim]`, normalised here
/// - `sigma`: `σ` of the weights; `None` in DCL
/// - returns: `[1]`, in nats; `log(2·batch − 2)` when all embeddings are orthogonal, unlike NT-Xent below 0 at best
///
/// # Panics
/// If the two shapes differ, or the batch has fewer than two images, since there are no negatives in a batch of one.
///
/// # Source
/// Yeh et al. 2022, eq. 6 and the weights below it, <https://arxiv.org/abs/2110.06848>.
/// Differs from eq. 6 in its mean over images and views instead of their sum, as lightly's `DCLLoss` does. The paper does
/// not say whether the weights have a gradient; in lightly's `DCLWLoss` they have none.
pub fn dcl(z1: Tensor<2>, z2: Tensor<2>, temperature: f64, sigma: Option<f64>) -> Tensor<1> {
    let [batch, dim] = z1.dims();
    assert_shape!(z2, [batch, dim]);
    assert!(batch > 1, "DCL: a batch of {batch} has no negatives, expected at least 2 images");
    let (z1, z2) = (l2_normalize(z1, NORMALIZE_EPS), l2_normalize(z2, NORMALIZE_EPS));
    let positive = (z1.clone() * z2.clone()).sum_dim(1);
    let weighted = match sigma {
        Some(sigma) => positive.clone() * weights(positive, sigma),
        None => positive,
    };
    let both = Tensor::cat(vec![z1.clone(), z2.clone()], 0);
    let negatives = |anchors: Tensor<2>| {
        Similarities::new(anchors, both.clone(), temperature)
            .without_own()
            .mean_loss(|_, logits| log_sum_exp(logits))
    };
    // Both directions have the same positives.
    (negatives(z1) + negatives(z2)).div_scalar(2.0) - weighted.mean().div_scalar(temperature)
}

/// The weights of DCLW, `[batch, 1]`, without gradient: their mean is 1.
fn weights(positive: Tensor<2>, sigma: f64) -> Tensor<2> {
    let [batch, _] = positive.dims();
    let share = softmax(positive.detach().div_scalar(sigma), 0);
    share.mul_scalar(-(batch as f64)).add_scalar(2.0)
}

/// The logarithm of the sum of exponentials of each row; its derivative is the softmax.
fn log_sum_exp(logits: Tensor<2>) -> RowLoss {
    let max = logits.clone().max_dim(1);
    let exponentials = (logits - max.clone()).exp();
    let sum = exponentials.clone().sum_dim(1);
    RowLoss { loss: max + sum.clone().log(), gradient: exponentials / sum }
}

/// [`dcl`] with its temperature and weights.
#[derive(Clone, Copy, Debug)]
pub struct DclLoss {
    temperature: f64,
    sigma: Option<f64>,
}

/// The embeddings of the two views.
#[derive(Clone, Debug)]
pub struct DclInput {
    /// `[batch, dim]`
    pub z1: Tensor<2>,
    /// `[batch, dim]`
    pub z2: Tensor<2>,
}

impl DclLoss {
    /// Creates the loss at a temperature, without weights.
    pub fn new(temperature: f64) -> Self {
        Self { temperature, sigma: None }
    }

    /// Weighs the positives as DCLW does.
    pub fn with_weights(self, sigma: f64) -> Self {
        Self { sigma: Some(sigma), ..self }
    }
}

impl Loss for DclLoss {
    type Input = DclInput;

    fn forward(&self, input: DclInput) -> Tensor<1> {
        dcl(input.z1, input.z2, self.temperature, self.sigma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Int;
    use ssl_testing::oracle::rows;
    use ssl_testing::tensors::{device, of_rows};

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    /// Four images whose views agree, all at right angles to each other.
    fn orthogonal() -> Tensor<2> {
        Tensor::<2>::eye(4, &device())
    }

    #[test]
    fn views_that_agree_at_right_angles_to_all_others_cost_the_log_of_their_number_less_the_positive() {
        for sigma in [None, Some(0.5)] {
            let loss = value(dcl(orthogonal(), orthogonal(), 0.5, sigma));
            assert!((loss - (6.0_f32.ln() - 2.0)).abs() < 1e-5, "{loss}");
        }
    }

    #[test]
    fn a_positive_is_no_candidate() {
        // With the positive among the candidates, as in NT-Xent, the loss could not be below 0.
        let opposite = Tensor::from_floats([[1.0, 0.0], [-1.0, 0.0]], &device());
        let loss = value(dcl(opposite.clone(), opposite, 0.1, None));
        assert!((loss - (2.0_f32.ln() - 20.0)).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn positives_that_are_far_apart_weigh_more_and_their_mean_weight_is_one() {
        let positive = Tensor::<2>::from_floats([[0.9], [0.1], [-0.5]], &device());
        let weights: Vec<f32> = weights(positive, 0.5).into_data().iter().collect();
        assert!(weights[0] < weights[1] && weights[1] < weights[2], "{weights:?}");
        assert!((weights.iter().sum::<f32>() - 3.0).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn weights_get_no_gradient() {
        let (z1, z2) = (of_rows(&rows(5, 4, 1)), of_rows(&rows(5, 4, 2)));
        let unit = |z: &Tensor<2>| l2_normalize(z.clone(), NORMALIZE_EPS);
        let positive = (unit(&z1) * unit(&z2)).sum_dim(1);
        // The same weights as a constant.
        let constant = weights(positive.clone(), 0.5).into_data();
        let constant = Tensor::from_data(constant, &device().autodiff());
        let plain = dcl(z1.clone(), z2.clone(), 0.2, None);
        let by_hand = plain + (positive.clone() - positive * constant).mean().div_scalar(0.2);
        let want = z1.grad(&by_hand.backward()).expect("a leaf");
        let got = z1.grad(&dcl(z1.clone(), z2, 0.2, Some(0.5)).backward()).expect("a leaf");
        assert!((got - want).abs().max().into_scalar::<f32>() < 1e-5);
    }

    #[test]
    fn the_order_of_the_views_and_of_the_images_does_not_matter_but_their_pairing_does() {
        let (z1, z2) = (of_rows(&rows(5, 3, 1)), of_rows(&rows(5, 3, 2)));
        let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
        let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
        for sigma in [None, Some(0.5)] {
            let loss = |z1: Tensor<2>, z2: Tensor<2>| value(dcl(z1, z2, 0.3, sigma));
            let want = loss(z1.clone(), z2.clone());
            assert!((loss(z2.clone(), z1.clone()) - want).abs() < 1e-5);
            assert!((loss(permuted(&z1), permuted(&z2)) - want).abs() < 1e-5);
            assert!((loss(z1.clone(), permuted(&z2)) - want).abs() > 1e-2);
        }
    }

    #[test]
    #[should_panic(expected = "a batch of 1 has no negatives, expected at least 2 images")]
    fn a_batch_of_one_is_refused() {
        let z = Tensor::<2>::ones([1, 3], &device());
        dcl(z.clone(), z, 0.1, None);
    }
}
