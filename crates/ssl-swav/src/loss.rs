//! The swapped-prediction loss of SwAV.

use burn::tensor::Tensor;
use ssl_core::loss::cross_view_cross_entropy;
use ssl_core::{Loss, ViewRows};

/// Cross entropy of each view's codes with the scores of every other view.
///
/// ```text
/// L = 1/codes · Σ_i 1/(views − 1) · Σ_{v ≠ i} H(q_i, s_v / T),    H(q, s) = mean over rows of −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// # Shapes
/// - `scores`: `s_v`, for all views, `[view · batch, prototype]`
/// - `codes`: `q_i`, for the first views in the same order, `[view · batch, prototype]`, used without gradient
/// - returns: `[1]`, in nats; at least `log(prototype)` if all images have the same scores
///
/// # Panics
/// If there are no codes, more codes than scores, or fewer than two views, or if shapes differ.
///
/// # Source
/// Caron et al. 2020, eq. 1, 2 and 6, <https://arxiv.org/abs/2006.09882>.
pub fn swav(scores: ViewRows, codes: ViewRows, temperature: f64) -> Tensor<1> {
    cross_view_cross_entropy(codes, scores, temperature)
}

/// [`swav`] with its temperature.
#[derive(Clone, Copy, Debug)]
pub struct SwavLoss {
    temperature: f64,
}

/// Scores of all crops, and the codes that they should predict.
#[derive(Clone, Debug)]
pub struct SwavInput {
    /// Scores of all crops, `[crop · batch, prototype]`.
    pub scores: ViewRows,
    /// Codes of the global crops, which come first, `[crop · batch, prototype]`.
    pub codes: ViewRows,
}

impl SwavLoss {
    /// Creates the loss at a temperature.
    pub fn new(temperature: f64) -> Self {
        Self { temperature }
    }
}

impl Loss for SwavLoss {
    type Input = SwavInput;

    fn forward(&self, input: SwavInput) -> Tensor<1> {
        swav(input.scores, input.codes, self.temperature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use burn::tensor::activation::softmax;
    use ssl_core::DeviceSpec;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in").autodiff()
    }

    fn leaf(values: [[f32; 3]; 2]) -> Tensor<2> {
        Tensor::from_floats(values, &device()).require_grad()
    }

    fn of(scores: &[Tensor<2>], codes: &[Tensor<2>], temperature: f64) -> Tensor<1> {
        swav(scores.to_vec().into(), codes.to_vec().into(), temperature)
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn a_view_that_predicts_the_code_of_the_other_costs_the_entropy_of_the_codes() {
        // −Σ q log p is smallest at p = q; without the minus sign it would be largest there.
        let scores = leaf([[0.3, -0.1, 0.2], [0.0, 0.5, -0.4]]);
        let codes = softmax(scores.clone().detach().div_scalar(0.1), 1);
        let entropy = value((codes.clone() * codes.clone().log()).sum_dim(1).mean().neg());
        let loss = |scores: &Tensor<2>| {
            value(of(&[scores.clone(), scores.clone()], &[codes.clone(), codes.clone()], 0.1))
        };
        assert!((loss(&scores) - entropy).abs() < 1e-5);
        assert!(loss(&scores.clone().neg()) > entropy + 0.1);
    }

    #[test]
    fn equal_scores_cost_the_log_of_the_number_of_prototypes() {
        let scores = [leaf([[0.4; 3]; 2]), leaf([[0.4; 3]; 2]), leaf([[0.4; 3]; 2])];
        let code = softmax(leaf([[1.0, 2.0, 3.0], [0.0, 0.5, -0.4]]).detach(), 1);
        assert!((value(of(&scores, &[code.clone(), code], 0.1)) - 3.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn scores_of_every_crop_get_a_gradient_and_codes_get_none() {
        let scores = [0.1, 0.2, 0.3].map(|value| leaf([[value, -0.1, 0.2], [0.0, value, -0.4]]));
        let codes = [leaf([[0.2, 0.3, 0.5]; 2]), leaf([[0.6, 0.3, 0.1]; 2])];
        let gradients = of(&scores, &codes, 0.1).backward();
        assert!(scores.iter().all(|scores| scores.grad(&gradients).is_some()));
        assert!(codes.iter().all(|codes| codes.grad(&gradients).is_none()));
    }

    #[test]
    fn large_scores_give_a_finite_loss() {
        let scores = [leaf([[1000.0, -1000.0, 0.0]; 2]), leaf([[-1000.0, 1000.0, 0.0]; 2])];
        let codes = [leaf([[1.0, 0.0, 0.0]; 2]), leaf([[0.0, 1.0, 0.0]; 2])];
        assert!((value(of(&scores, &codes, 0.01)) - 200_000.0).abs() < 1.0);
    }
}
