//! The cross entropy between two sets of logits at one temperature.

use burn::tensor::{Tensor, activation::softmax};

use crate::math::soft_cross_entropy;

/// Mean over rows of the cross entropy between the probabilities of two sets of logits; no gradient flows into `teacher`.
///
/// ```text
/// L = H(softmax(teacher / T), student / T)
/// ```
///
/// # Shapes
/// - `teacher`, `student`: `[row, class]`
/// - returns: `[1]`, in nats; the entropy of the teacher's probabilities where the two agree
///
/// # Source
/// Hinton et al. 2015, section 2, <https://arxiv.org/abs/1503.02531>, without the factor T².
pub fn tempered_cross_entropy(teacher: Tensor<2>, student: Tensor<2>, temperature: f64) -> Tensor<1> {
    let targets = softmax(teacher.detach().div_scalar(temperature), 1);
    soft_cross_entropy(targets, student.div_scalar(temperature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn it_is_least_where_the_two_agree_and_is_their_entropy_there() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let teacher = Tensor::<2>::from_floats([[0.0, 2.0 * 3.0_f32.ln()]], &device);
        let loss = |student| tempered_cross_entropy(teacher.clone(), student, 2.0).into_scalar::<f32>();
        // At temperature 2 the probabilities are 1/4 and 3/4.
        let entropy = 0.25 * 4.0_f32.ln() + 0.75 * (4.0_f32 / 3.0).ln();
        assert!((loss(teacher.clone()) - entropy).abs() < 1e-6);
        assert!(loss(Tensor::from_floats([[0.0, 1.0]], &device)) > entropy);
        assert!(loss(Tensor::from_floats([[0.0, 4.0]], &device)) > entropy);
    }
}
