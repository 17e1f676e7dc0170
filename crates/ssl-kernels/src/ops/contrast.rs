//! The cross entropy of telling a positive from many negatives, with its gradient.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::choice::loops_serve;

/// Anchors, their positives and their negatives, without gradients.
#[derive(Clone, Debug)]
pub struct Contrast {
    /// `[anchor, dim]`
    pub anchors: Tensor<2>,
    /// The negatives, `[candidate, dim]`.
    pub candidates: Tensor<2>,
    /// The logits of the positives, `[anchor, 1]`.
    pub positive: Tensor<2>,
    /// The factor of similarities to negatives: 1 over the temperature.
    pub scale: f64,
    /// Whether candidate `j` is left out for anchor `i` if `j mod anchors = i`.
    pub without_own: bool,
    /// Whether the gradient of the candidates is wanted.
    pub with_candidates: bool,
}

/// The result of [`contrast`].
#[derive(Clone, Debug)]
pub struct Contrasted {
    /// The cross entropy of each anchor, in nats, `[anchor, 1]`.
    pub loss: Tensor<2>,
    /// The probability that an anchor gives to its negatives, `[anchor, 1]`: minus the derivative of the sum of all losses with
    /// respect to the logit of the positive.
    pub share: Tensor<2>,
    /// The derivative of the sum of all losses with respect to the anchors, over `scale`: `[anchor, dim]`.
    pub of_anchors: Tensor<2>,
    /// The same with respect to the candidates, `[candidate, dim]`.
    pub of_candidates: Option<Tensor<2>>,
}

/// The cross entropy of finding the positive among the negatives, and its derivatives, in one go.
///
/// ```text
/// s_ij = scale · ⟨a_i, b_j⟩,   loss_i = −log( exp(s_i⁺) / (exp(s_i⁺) + Σ_j exp(s_ij)) )
/// p_ij = ∂loss_i / ∂s_ij,      of_anchors = P b,   of_candidates = Pᵀ a,   share_i = Σ_j p_ij
/// ```
///
/// Some rows of the matrix of all pairs exist at a time. Only `flex`, and `tch` on the CPU, have it, for float32; `None` on other
/// backends.
///
/// # Panics
/// If shapes do not fit, or, with `without_own`, the candidates are no multiple of the anchors.
pub fn contrast(input: &Contrast) -> Option<Contrasted> {
    let Contrast { anchors, candidates, positive, without_own, .. } = input;
    let ([count, dim], [others, length]) = (anchors.dims(), candidates.dims());
    assert_eq!(
        (length, positive.dims()),
        (dim, [count, 1]),
        "contrast: length of a candidate, and positives"
    );
    assert!(
        !without_own || others.is_multiple_of(count),
        "contrast: {others} candidates, expected a multiple of the {count} anchors"
    );
    if [count, dim, others].contains(&0) {
        return None;
    }
    #[cfg(feature = "flex")]
    if loops_serve!(flex, anchors, candidates, positive) {
        return Some(super::cpu::contrast::<super::flex::Flex>(input));
    }
    #[cfg(feature = "tch")]
    if loops_serve!(libtorch, anchors, candidates, positive) {
        return Some(super::cpu::contrast::<super::libtorch::Backend>(input));
    }
    None
}
