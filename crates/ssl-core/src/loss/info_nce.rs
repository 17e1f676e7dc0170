//! The contrastive cross entropy.

use burn::tensor::Tensor;

use super::similarities::with_gradient;
use super::{RowLoss, Similarities};

/// Cross entropy of identifying the positive among the negatives.
///
/// ```text
/// L = mean over rows i of −log( exp(s_i⁺ / T) / (exp(s_i⁺ / T) + Σ_j exp(s_ij⁻ / T)) )
/// ```
///
/// The similarities `s⁻` are computed some rows at a time, see [`Similarities`]; on `flex`, and on `tch` on the CPU, by
/// [`ops::contrast`](ssl_kernels::ops::contrast).
///
/// # Shapes
/// - `positive`: `[anchor, 1]`, the similarity of each anchor to its positive
/// - `negatives`: the anchors' similarities to all negatives; they carry the temperature
/// - returns: `[1]`, in nats
///
/// # Source
/// van den Oord et al. 2018, eq. 4, <https://arxiv.org/abs/1807.03748>.
pub fn info_nce(positive: Tensor<2>, negatives: &Similarities) -> Tensor<1> {
    let temperature = negatives.temperature();
    let logit = positive.clone().without_autodiff().div_scalar(temperature);
    let (loss, share) = negatives.contrast(logit.clone()).unwrap_or_else(|| in_blocks(&logit, negatives));
    if !positive.is_tracked() {
        return loss;
    }
    let [count, _] = positive.dims();
    with_gradient(loss, &positive, share.div_scalar(-(count as f64) * temperature))
}

/// The loss, and the total probability of the negatives of each anchor, with Burn's own operations.
fn in_blocks(logit: &Tensor<2>, negatives: &Similarities) -> (Tensor<1>, Tensor<2>) {
    let mut shares = Vec::new();
    let loss = negatives.mean_loss(|rows, logits| {
        let positive = logit.clone().narrow(0, rows.start, rows.len());
        let (block, share) = pick_positive(positive, logits);
        shares.push(share);
        block
    });
    (loss, Tensor::cat(shares, 0))
}

/// The cross entropy of some rows, and the total probability of their negatives, `[row, 1]`.
fn pick_positive(positive: Tensor<2>, negatives: Tensor<2>) -> (RowLoss, Tensor<2>) {
    let max = negatives.clone().max_dim(1);
    let weights = (negatives - max.clone()).exp();
    let sum = weights.clone().sum_dim(1);
    // −log σ(positive − log Σ exp(negatives)): stays exact when the positive dominates and the loss is nearly 0.
    let gap = max + sum.clone().log() - positive;
    let loss = gap.clone().clamp_min(0.0) + gap.clone().abs().neg().exp().log1p();
    let share = (gap - loss.clone()).exp();
    (RowLoss { loss, gradient: weights * (share.clone() / sum) }, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::Device;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn equal_similarities_cost_the_log_of_the_number_of_candidates() {
        let negatives =
            Similarities::new(Tensor::ones([4, 1], &device()), Tensor::ones([7, 1], &device()), 0.1);
        let loss = info_nce(Tensor::ones([4, 1], &device()), &negatives);
        assert!((value(loss) - 8.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_positive_without_negatives_costs_nothing() {
        let z = Tensor::<2>::ones([1, 3], &device());
        assert_eq!(
            value(info_nce(
                Tensor::ones([1, 1], &device()),
                &Similarities::new(z.clone(), z, 0.2).without_own()
            )),
            0.0
        );
    }

    #[test]
    fn a_loss_far_below_the_precision_of_its_logits_is_exact() {
        let similarity = |value: f32| Tensor::<2>::from_floats([[value]], &device());
        let negatives = Similarities::new(similarity(0.1), similarity(1.0), 0.01);
        let loss = value(info_nce(similarity(0.3), &negatives));
        assert!((loss / (-20.0_f32).exp() - 1.0).abs() < 1e-4, "{loss} is not exp(-20)");
    }
}
