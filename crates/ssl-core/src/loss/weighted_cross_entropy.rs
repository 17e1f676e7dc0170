//! Cross entropy of rows that count differently.

use burn::tensor::Tensor;
use ssl_kernels::ops::{Pairs, cross_entropies};

use crate::assert_shape;

/// Sum over rows of their weight times the cross entropy between target distribution and logits.
///
/// ```text
/// L = Σ_i w_i · H(q_i, s_i / T),    H(q, s) = −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// # Shapes
/// - `targets`: `q`, `[row, class]`, used as given and without gradient
/// - `logits`: `s`, `[row, class]`
/// - `weights`: `w`, `[row]`, used without gradient
/// - returns: `[1]`, in nats
///
/// # Panics
/// If the temperature `T` is not above 0, or if shapes differ.
pub fn weighted_cross_entropy(
    targets: Tensor<2>,
    logits: Tensor<2>,
    weights: Tensor<1>,
    temperature: f64,
) -> Tensor<1> {
    let [row, class] = logits.dims();
    assert_shape!(targets, [row, class]);
    assert_shape!(weights, [row]);
    (cross_entropies(logits, targets, temperature, Pairs::Same) * weights.detach()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use crate::math::soft_cross_entropy;
    use burn::tensor::{Device, activation::softmax};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn rows(factor: f32) -> Tensor<2> {
        Tensor::from_floats([[0.1, -0.7, 1.3], [0.4, 0.9, -0.2]], &device()) * factor
    }

    #[test]
    fn equal_weights_that_sum_to_one_give_the_mean() {
        let (q, s) = (softmax(rows(2.0), 1), rows(-1.0));
        let of = |weights: [f32; 2]| {
            let weights = Tensor::from_floats(weights, &device());
            weighted_cross_entropy(q.clone(), s.clone(), weights, 0.5).into_scalar::<f32>()
        };
        let want = soft_cross_entropy(q.clone(), s.clone(), 0.5).into_scalar::<f32>();
        assert!((of([0.5, 0.5]) - want).abs() < 1e-6);
        assert!((of([1.0, 0.0]) + of([0.0, 1.0]) - 2.0 * want).abs() < 1e-6);
        assert_eq!(of([0.0, 0.0]), 0.0);
    }

    #[test]
    fn a_row_that_does_not_count_gets_a_gradient_of_zero() {
        let s = rows(1.0).autodiff().require_grad();
        let loss = weighted_cross_entropy(
            softmax(rows(2.0), 1),
            s.clone(),
            Tensor::from_floats([0.0, 0.0], &device()),
            1.0,
        );
        let gradient = s.grad(&loss.backward()).expect("a gradient");
        assert!(gradient.into_data().iter::<f32>().all(|value| value == 0.0));
    }
}
