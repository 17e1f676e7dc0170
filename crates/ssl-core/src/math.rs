//! Tensor functions shared by several losses.

use burn::tensor::{Tensor, activation::log_softmax};
use ssl_kernels::ops::{Pairs, cross_entropies, layer_norm, rows_of_length};
pub use ssl_kernels::ops::{add_scaled, sum};

/// Smallest norm that [`l2_normalize`] divides by: the default of `torch.nn.functional.normalize`.
pub const NORMALIZE_EPS: f64 = 1e-12;

/// Scales rows to unit length.
///
/// ```text
/// l2_normalize(x) = x / max(‖x‖₂, eps)
/// ```
///
/// A zero row stays zero and gets a finite gradient.
///
/// # Shapes
/// - `x` and the result: `[row, dim]`
pub fn l2_normalize(x: Tensor<2>, eps: f64) -> Tensor<2> {
    rows_of_length(x, None, eps)
}

/// Scales every row of the last axis to mean 0 and variance 1: layer normalisation without weight and bias.
///
/// ```text
/// standardize(x) = (x − mean) / sqrt(var + eps),   biased variance: the sum of squares divided by dim
/// ```
///
/// A constant row becomes 0. [`patches::standardize`](crate::patches::standardize) divides by `dim − 1`, the unbiased variance.
///
/// # Shapes
/// - `x` and the result: `[..., dim]`
pub fn standardize<const D: usize>(x: Tensor<D>, eps: f64) -> Tensor<D> {
    let (dim, device) = (x.dims()[D - 1], x.device());
    layer_norm(x, Tensor::ones([dim], &device), Tensor::zeros([dim], &device), eps)
}

/// Mean over rows of the cross entropy between target distributions and logits.
///
/// ```text
/// H(q, logits) = mean over rows of −Σ_k q_k · log_softmax(logits / T)_k
/// ```
///
/// # Shapes
/// - `targets`: `[row, class]`, used as given and without gradient
/// - `logits`: `[row, class]`
/// - returns: `[1]`, in nats
///
/// # Panics
/// If the temperature `T` is not above 0, or if shapes differ.
pub fn soft_cross_entropy(targets: Tensor<2>, logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    cross_entropies(logits, targets, temperature, Pairs::Same).mean()
}

/// The Euclidean length of a vector.
///
/// # Shapes
/// - `x`: `[dim]`
/// - returns: `[1]`
pub fn length(x: Tensor<1>) -> Tensor<1> {
    x.square().sum().sqrt()
}

/// Mean over rows of the entropy of the distributions that logits stand for.
///
/// ```text
/// mean over rows of −Σ_k p_k · log p_k,    p = softmax(logits)
/// ```
///
/// # Shapes
/// - `logits`: `[row, class]`
/// - returns: `[1]`, in nats: from 0, where one class takes all, to `log(class)`, where all are equal
pub fn softmax_entropy(logits: Tensor<2>) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    (log_p.clone().exp() * log_p).sum_dim(1).mean().neg()
}

/// Mean over rows of the entropy of distributions.
///
/// ```text
/// mean over rows of −Σ_k p_k · log p_k,    0 · log 0 = 0
/// ```
///
/// # Shapes
/// - `distributions`: `p`, `[row, class]`
/// - returns: `[1]`, in nats
pub fn entropy(distributions: Tensor<2>) -> Tensor<1> {
    let log_p = distributions.clone().clamp_min(f64::from(f32::MIN_POSITIVE)).log();
    (distributions * log_p).sum_dim(1).mean().neg()
}

/// The spread of embeddings: the standard deviation over rows of the normalised embeddings, averaged over dimensions.
///
/// ```text
/// mean over dimensions of std(l2_normalize(z)),   unbiased
/// ```
///
/// # Shapes
/// - `z`: `[row, dim]`
/// - returns: `[1]`, about `1 / sqrt(dim)` when healthy, 0 when collapsed
///
/// # Source
/// Chen & He 2021, section 4.1, <https://arxiv.org/abs/2011.10566>.
pub fn feature_std(z: Tensor<2>) -> Tensor<1> {
    l2_normalize(z, NORMALIZE_EPS).var(0).sqrt().mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::Tolerance;

    #[test]
    fn a_zero_row_stays_zero_with_a_finite_gradient() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let x = Tensor::<2>::from_floats([[0.0, 0.0], [3.0, 4.0]], &device).require_grad();
        let y = l2_normalize(x.clone(), NORMALIZE_EPS);
        assert_eq!(y.clone().into_data().try_to_vec::<f32>().expect("floats"), [0.0, 0.0, 0.6, 0.8]);
        let grad = x.grad(&y.sum().backward()).expect("x requires a gradient");
        assert!(grad.into_data().try_to_vec::<f32>().expect("floats").iter().all(|g| g.is_finite()));
    }

    #[test]
    fn the_entropy_of_logits_is_that_of_their_distributions_and_a_certain_one_has_none() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let logits = Tensor::<2>::from_floats([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]], &device);
        let distributions = burn::tensor::activation::softmax(logits.clone(), 1);
        let (one, other) = (softmax_entropy(logits), entropy(distributions));
        one.into_data().assert_approx_eq::<f32>(&other.into_data(), Tolerance::default());
        let certain = Tensor::<2>::from_floats([[0.0, 1.0, 0.0]], &device);
        assert_eq!(entropy(certain).into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn cross_entropy_with_one_hot_targets_is_minus_the_log_probability() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let logits = Tensor::<2>::from_floats([[1.0, 2.0, 0.5]], &device);
        let targets = Tensor::<2>::from_floats([[0.0, 1.0, 0.0]], &device);
        let want = log_softmax(logits.clone(), 1).slice([0..1, 1..2]).neg().reshape([1]);
        let got = soft_cross_entropy(targets, logits, 1.0);
        got.into_data().assert_approx_eq::<f32>(&want.into_data(), Tolerance::default());
    }
}
