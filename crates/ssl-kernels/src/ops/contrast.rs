//! The cross entropy of telling a positive from many negatives, with its gradient.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// The most jobs: each holds a gradient of all candidates.
pub(super) const GROUPS: usize = 8;
/// The fewest anchors of a job.
pub(super) const GROUP: usize = 64;
/// Anchors of a job whose similarities to all candidates exist at a time: the fewest, the most, and the most similarities.
pub(super) const ROWS: (usize, usize) = (16, 128);
pub(super) const PAIRS: usize = 1 << 21;

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
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!((*anchors), (*candidates), (*positive)) {
        return Some(host.contrast(input));
    }
    None
}

/// The most values that [`contrast`] holds at a time beside its inputs: similarities and gradients of every job, and the result.
pub fn contrast_values(anchors: f64, candidates: f64, dim: f64, with_candidates: bool) -> f64 {
    let jobs = (anchors / GROUP as f64).ceil().clamp(1.0, GROUPS as f64);
    let rows = (PAIRS as f64 / candidates).clamp(ROWS.0 as f64, ROWS.1 as f64).min(anchors);
    let gradients = if with_candidates { candidates * dim } else { 0.0 };
    jobs * (rows * candidates + gradients) + anchors * dim + gradients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_holds_similarities_and_gradients() {
        // One job of 10 anchors, then 8 jobs of 128 rows each.
        assert_eq!(
            contrast_values(10.0, 20.0, 4.0, true),
            10.0 * 20.0 + 20.0 * 4.0 + 10.0 * 4.0 + 20.0 * 4.0
        );
        assert_eq!(contrast_values(1024.0, 2048.0, 128.0, false), 8.0 * 128.0 * 2048.0 + 1024.0 * 128.0);
    }
}
