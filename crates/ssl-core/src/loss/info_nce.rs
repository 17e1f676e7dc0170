//! The contrastive cross entropy, from similarities.

use burn::tensor::{Tensor, activation::log_softmax};

/// Cross entropy of picking the positive among candidates, from similarities.
///
/// ```text
/// L = mean over rows i of −log( exp(s_i⁺ / T) / (exp(s_i⁺ / T) + Σ_j exp(s_ij⁻ / T)) )
/// ```
///
/// # Shapes
/// - `positive`: `[row, 1]`, the similarity of each row to its positive
/// - `negatives`: `[row, negative]`, its similarities to everything else; minus infinity takes a candidate out
/// - returns: `[1]`, in nats
///
/// # Source
/// van den Oord et al. 2018, eq. 4, <https://arxiv.org/abs/1807.03748>.
pub fn info_nce(positive: Tensor<2>, negatives: Tensor<2>, temperature: f64) -> Tensor<1> {
    let logits = Tensor::cat(vec![positive, negatives], 1).div_scalar(temperature);
    log_softmax(logits, 1).narrow(1, 0, 1).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn equal_similarities_cost_the_log_of_the_number_of_candidates() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let loss = info_nce(Tensor::ones([4, 1], &device), Tensor::ones([4, 7], &device), 0.1);
        assert!((loss.into_scalar::<f32>() - 8.0_f32.ln()).abs() < 1e-6);
    }
}
