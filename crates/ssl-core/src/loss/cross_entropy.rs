//! Cross entropy with labels.

use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::assert_shape;

/// Mean over rows of the cross entropy between labels and logits.
///
/// ```text
/// L = mean over rows i of −log_softmax(logits_i)[label_i]
/// ```
///
/// # Shapes
/// - `logits`: `[row, class]`
/// - `labels`: `[row]`, in `0..class`
/// - returns: `[1]`, in nats; `log(class)` when all logits are equal
///
/// # Panics
/// If the number of labels differs from the number of rows.
///
/// # Source
/// `torch.nn.CrossEntropyLoss`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let [row, _] = logits.dims();
    assert_shape!(labels, [row]);
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn equal_logits_cost_the_log_of_the_number_of_classes() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let loss = cross_entropy(Tensor::ones([3, 7], &device), Tensor::from_ints([0, 6, 3], &device));
        assert!((loss.into_scalar::<f32>() - 7.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_probability_minus_the_label() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let logits = Tensor::<2>::from_floats([[0.0, 3.0_f32.ln()], [0.0, 0.0]], &device).require_grad();
        let labels = Tensor::<1, Int>::from_ints([0, 1], &device.inner());
        let recorded = cross_entropy(logits.clone(), labels).backward();
        let gradient = logits.grad(&recorded).expect("a gradient").into_data();
        // Probabilities are 1/4, 3/4 and 1/2, 1/2; the mean halves them.
        let want = [-0.375, 0.375, 0.25, -0.25];
        let got = gradient.try_to_vec::<f32>().expect("floats");
        assert!(got.iter().zip(want).all(|(got, want): (&f32, f32)| (got - want).abs() < 1e-6), "{got:?}");
    }
}
