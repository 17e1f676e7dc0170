//! Distributions of a teacher that are centred and sharpened, and the centre of its logits.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::math::softmax_entropy;

/// Distributions from logits without their centre, sharpened by a temperature.
///
/// ```text
/// q = softmax((logits − center) / temperature)
/// ```
///
/// # Shapes
/// - `logits`: `[row, output]`, used without gradient
/// - `center`: `[output]`, used without gradient
/// - returns: `[row, output]`, without gradient
///
/// # Source
/// Caron et al. 2021, algorithm 1, <https://arxiv.org/abs/2104.14294>.
pub fn centered_softmax(logits: Tensor<2>, center: Tensor<1>, temperature: f64) -> Tensor<2> {
    let centered = logits.without_autodiff() - center.without_autodiff().unsqueeze::<2>();
    softmax(centered.div_scalar(temperature), 1)
}

/// The mean entropy of the distributions of [`centered_softmax`], computed when it is asked for. After a collapse it is 0 or
/// `log(output)`.
///
/// ```text
/// mean over rows of −Σ_k q_k · log q_k,   q = softmax((logits − center) / temperature)
/// ```
///
/// # Shapes
/// - `logits`: `[row, output]`, without gradient
/// - `center`: `[output]`, without gradient
/// - returns: `[1]`, in nats
pub fn centered_entropy(
    logits: Tensor<2>,
    center: Tensor<1>,
    temperature: f64,
) -> impl FnOnce() -> Tensor<1> + Send + 'static {
    move || softmax_entropy((logits - center.unsqueeze()).div_scalar(temperature))
}

/// The mean of a teacher's logits over all rows, which the centre moves towards.
///
/// # Shapes
/// - `logits`: `[row, output]`
/// - returns: `[output]`, without gradient
pub fn mean_logits(logits: Tensor<2>) -> Tensor<1> {
    logits.without_autodiff().mean_dim(0).squeeze_dim(0)
}

/// The centre after a step.
///
/// ```text
/// momentum · center + (1 − momentum) · mean_logits
/// ```
///
/// # Source
/// Caron et al. 2021, eq. 4, <https://arxiv.org/abs/2104.14294>.
pub fn next_center(center: Tensor<1>, mean_logits: Tensor<1>, momentum: f64) -> Tensor<1> {
    center.mul_scalar(momentum) + mean_logits.mul_scalar(1.0 - momentum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use crate::math::entropy;
    use burn::tensor::{Device, Tolerance};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in").autodiff()
    }

    /// Deterministic pseudo-random logits.
    fn logits(seed: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..8).map(|place| (place as f32 * 1.7 + seed).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([2, 4])
    }

    fn center(value: f32) -> Tensor<1> {
        Tensor::from_floats([value; 4], &device())
    }

    #[test]
    fn distributions_are_constants_that_a_shift_with_the_center_does_not_change() {
        let plain = centered_softmax(logits(0.0), center(0.0), 0.5);
        assert!(!plain.is_autodiff());
        let shifted = centered_softmax(logits(0.0) + 3.0, center(3.0), 0.5).into_data();
        shifted.assert_approx_eq::<f32>(&plain.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn the_entropy_is_that_of_the_distributions() {
        let (logits, center) = (logits(0.0).without_autodiff(), center(0.5).without_autodiff());
        let found = centered_entropy(logits.clone(), center.clone(), 0.5)().into_data();
        let want = entropy(centered_softmax(logits.clone(), center, 0.5)).into_data();
        found.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-5));
        // Rows that are their centre say nothing: all outputs are equal.
        let row = logits.narrow(0, 0, 1);
        let uniform: f32 = centered_entropy(row.clone(), row.squeeze_dim(0), 0.04)().into_scalar();
        assert!((uniform - 4.0_f32.ln()).abs() < 1e-6, "{uniform}");
    }

    #[test]
    fn the_center_is_an_average_of_the_means_of_all_teacher_rows() {
        let teacher = [logits(0.0), logits(1.0)];
        let mean = mean_logits(Tensor::cat(teacher.to_vec(), 0));
        assert!(!mean.is_autodiff());
        let by_hand =
            (teacher[0].clone() + teacher[1].clone()).sum_dim(0).div_scalar(4.0).squeeze_dim::<1>(0);
        mean.to_data().assert_approx_eq::<f32>(&by_hand.into_data(), Tolerance::absolute(1e-6));
        let next = next_center(center(1.0).without_autodiff(), mean.clone(), 0.9).into_data();
        let want = mean.mul_scalar(0.1).add_scalar(0.9).into_data();
        next.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-6));
    }
}
