//! Losses over all pairs of two sets of embeddings, without materialising the matrix of all pairs.

use std::ops::Range;

use burn::tensor::Tensor;
use ssl_kernels::ops::{self, Contrast};

use crate::assert_shape;

/// Number of logits held at once: 16 MiB of float32, plus a few temporaries of the same size. Large enough to keep a
/// matrix product busy, small compared with a batch (our choice).
const BLOCK_LOGITS: usize = 1 << 22;

/// Added to the logit of an excluded candidate. Far below any similarity of unit vectors at any temperature in use;
/// minus infinity would make a row without other candidates undefined.
const LEFT_OUT: f64 = -1e9;

/// Values that a [`Similarities`] loss of `anchors` against `candidates` holds at its peak: the logits of a block, what
/// the loss turns them into, and their derivative.
pub fn block_values(anchors: f64, candidates: f64) -> f64 {
    /// Logits, their exponentials, and two temporaries of a loss.
    const MATRICES: f64 = 4.0;
    MATRICES * (anchors * candidates).min((BLOCK_LOGITS as f64).max(candidates))
}

/// The same for [`info_nce`](super::info_nce), which has a kernel on some devices; the larger of the two ways counts.
pub fn info_nce_values(anchors: f64, candidates: f64, dim: f64, with_candidates: bool) -> f64 {
    let kernel = ops::contrast_values(anchors, candidates, dim, with_candidates);
    block_values(anchors, candidates).max(kernel)
}

/// Similarities of anchors to candidates, divided by a temperature: the logits of a contrastive loss.
///
/// ```text
/// logits_ij = ⟨a_i, b_j⟩ / T
/// ```
///
/// A loss that is a mean over anchors is computed one block of rows at a time, together with its gradient: at most one
/// block of the matrix `[anchor, candidate]` exists at a time, and nothing is computed twice.
#[derive(Clone, Debug)]
pub struct Similarities {
    anchors: Tensor<2>,
    candidates: Tensor<2>,
    temperature: f64,
    without_own: bool,
    /// Given, it also keeps kernels from choosing for themselves.
    block_logits: Option<usize>,
}

/// The loss of some rows of logits, and its derivative.
#[derive(Debug)]
pub struct RowLoss {
    /// The loss of each row, `[row, 1]`.
    pub loss: Tensor<2>,
    /// The derivative of each row's loss with respect to its logits, `[row, candidate]`.
    pub gradient: Tensor<2>,
}

impl Similarities {
    /// Creates the similarities of unit vectors.
    ///
    /// # Shapes
    /// - `anchors`: `[anchor, dim]`, `candidates`: `[candidate, dim]`, used as given; candidates may be the anchors
    ///   themselves
    ///
    /// # Panics
    /// If the vectors differ in length.
    pub fn new(anchors: Tensor<2>, candidates: Tensor<2>, temperature: f64) -> Self {
        let ([_, dim], [candidate, _]) = (anchors.dims(), candidates.dims());
        assert_shape!(candidates, [candidate, dim]);
        Self { anchors, candidates, temperature, without_own: false, block_logits: None }
    }

    /// Excludes candidates from the anchor's own image: candidates are the anchors, or several sets of embeddings of
    /// the same images in the same order, one set after the other, and candidate `j` is excluded for anchor `i` if `j
    /// mod anchors = i`.
    ///
    /// # Panics
    /// If the number of candidates is not a multiple of the number of anchors.
    pub fn without_own(self) -> Self {
        let ([anchors, _], [candidates, _]) = (self.anchors.dims(), self.candidates.dims());
        assert!(
            candidates.is_multiple_of(anchors),
            "similarities: {candidates} candidates, expected a multiple of the {anchors} anchors"
        );
        Self { without_own: true, ..self }
    }

    /// Sets the number of logits held at once; a block has at least one row.
    pub fn with_block_logits(self, block_logits: usize) -> Self {
        Self { block_logits: Some(block_logits), ..self }
    }

    /// The mean over all anchors of a loss of their logits.
    ///
    /// `row_loss` gets the indices of some anchors and their logits, `[row, candidate]`, without gradient. The gradient
    /// that it returns is propagated to anchors and candidates alike.
    ///
    /// # Shapes
    /// - returns: `[1]`
    pub fn mean_loss(&self, mut row_loss: impl FnMut(Range<usize>, Tensor<2>) -> RowLoss) -> Tensor<1> {
        let scaled = self.anchors.clone().without_autodiff().div_scalar(self.temperature);
        let candidates = self.candidates.clone().without_autodiff();
        let mut loss = Tensor::<1>::zeros([1], &scaled.device());
        let (mut of_anchors, mut of_candidates) = (Vec::new(), None);
        for rows in self.blocks() {
            let anchors = scaled.clone().narrow(0, rows.start, rows.len());
            let logits = anchors.clone().matmul(candidates.clone().transpose());
            let block = row_loss(rows.clone(), self.leave_out_own(rows, logits));
            loss = loss + block.loss.sum();
            if self.candidates.is_tracked() {
                let gradient = block.gradient.clone().transpose().matmul(anchors);
                of_candidates = Some(of_candidates.map_or(gradient.clone(), |sum| sum + gradient));
            }
            if self.anchors.is_tracked() {
                of_anchors.push(block.gradient.matmul(candidates.clone()));
            }
        }
        let of_candidates = of_candidates.map(|sum: Tensor<2>| sum.mul_scalar(self.temperature));
        let of_anchors = (!of_anchors.is_empty()).then(|| Tensor::cat(of_anchors, 0));
        self.mean(loss, of_anchors, of_candidates)
    }

    /// The loss of [`info_nce`](super::info_nce) with the gradients of anchors and candidates, and the probability of the negatives
    /// of each anchor, `[anchor, 1]`, where the backend has a kernel for it.
    pub(super) fn contrast(&self, positive: Tensor<2>) -> Option<(Tensor<1>, Tensor<2>)> {
        if self.block_logits.is_some() {
            return None;
        }
        let found = ops::contrast(&Contrast {
            anchors: self.anchors.clone().without_autodiff(),
            candidates: self.candidates.clone().without_autodiff(),
            positive,
            scale: 1.0 / self.temperature,
            without_own: self.without_own,
            with_candidates: self.candidates.is_tracked(),
        })?;
        let of_anchors = self.anchors.is_tracked().then_some(found.of_anchors);
        Some((self.mean(found.loss.sum(), of_anchors, found.of_candidates), found.share))
    }

    /// The mean of losses whose sum is `sum`, with its gradients: those of the sum are given times the temperature.
    fn mean(
        &self,
        sum: Tensor<1>,
        of_anchors: Option<Tensor<2>>,
        of_candidates: Option<Tensor<2>>,
    ) -> Tensor<1> {
        let [count, _] = self.anchors.dims();
        let gradients = [(&self.anchors, of_anchors), (&self.candidates, of_candidates)];
        gradients.into_iter().fold(sum.div_scalar(count as f64), |loss, (input, gradient)| match gradient {
            Some(gradient) => {
                with_gradient(loss, input, gradient.div_scalar(count as f64 * self.temperature))
            }
            None => loss,
        })
    }

    /// The temperature.
    pub(super) fn temperature(&self) -> f64 {
        self.temperature
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let ([anchors, _], [candidates, _]) = (self.anchors.dims(), self.candidates.dims());
        let rows = (self.block_logits.unwrap_or(BLOCK_LOGITS) / candidates.max(1)).max(1);
        (0..anchors).step_by(rows).map(move |start| start..anchors.min(start + rows))
    }

    fn leave_out_own(&self, rows: Range<usize>, mut logits: Tensor<2>) -> Tensor<2> {
        if !self.without_own {
            return logits;
        }
        let ([anchors, _], [candidates, _]) = (self.anchors.dims(), self.candidates.dims());
        let own = Tensor::<2>::eye(rows.len(), &logits.device()).mul_scalar(LEFT_OUT);
        for set in (0..candidates).step_by(anchors) {
            let square = [0..rows.len(), set + rows.start..set + rows.end];
            let values = logits.clone().slice(square.clone()) + own.clone();
            logits = logits.slice_assign(square, values);
        }
        logits
    }
}

/// Adds `gradient` to the derivative of `value` with respect to `input`, leaving the value unchanged.
///
/// It adds a term linear in `input − sg(input)`, which is 0: the value stays the same to the last bit, and whatever
/// scales the result also scales the derivative. A custom operation would need one implementation per backend.
pub(super) fn with_gradient(value: Tensor<1>, input: &Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    let zero = input.clone() - input.clone().without_autodiff();
    value + (zero * gradient).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use crate::loss::info_nce;
    use crate::math::{NORMALIZE_EPS, l2_normalize};
    use burn::tensor::{Device, Tolerance, activation::log_softmax};
    use proptest::prelude::*;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    /// Deterministic pseudo-random rows, with a gradient.
    fn leaf(count: usize, dim: usize, seed: f32) -> Tensor<2> {
        let places = Tensor::<1, burn::tensor::Int>::arange(1..(count * dim) as i64 + 1, &device()).float();
        let rows = (places.clone() * places * 0.618 + seed).sin().reshape([count, dim]);
        Tensor::from_data(rows.into_data(), &device().autodiff()).require_grad()
    }

    fn unit(z: &Tensor<2>) -> Tensor<2> {
        l2_normalize(z.clone(), NORMALIZE_EPS)
    }

    /// The same cross entropy from the full similarity matrix, differentiated by Burn.
    fn plain(
        positive: Tensor<2>,
        anchors: Tensor<2>,
        candidates: Tensor<2>,
        temperature: f64,
        own: bool,
    ) -> Tensor<1> {
        let (count, sets) = (anchors.dims()[0], candidates.dims()[0] / anchors.dims()[0]);
        let mut negatives = anchors.matmul(candidates.transpose());
        if own {
            negatives = negatives - Tensor::<2>::eye(count, &device()).repeat(&[1, sets]).mul_scalar(1e9);
        }
        let logits = Tensor::cat(vec![positive, negatives], 1).div_scalar(temperature);
        log_softmax(logits, 1).narrow(1, 0, 1).mean().neg()
    }

    /// Compares value and gradients of both forms for anchors `a`, their positives `b` and the candidates `[a; b]` or
    /// `c`, through normalisation and a factor.
    fn assert_same(
        count: usize,
        dim: usize,
        others: usize,
        temperature: f64,
        block: Option<usize>,
    ) -> Result<(), TestCaseError> {
        let leaves = || [leaf(count, dim, 0.0), leaf(count, dim, 1.0), leaf(others, dim, 2.0)];
        for own in [true, false] {
            let run = |in_blocks: bool| {
                let leaves = leaves();
                let [a, b, c] = leaves.each_ref().map(unit);
                let candidates = if own { Tensor::cat(vec![a.clone(), b.clone()], 0) } else { c };
                let positive = (a.clone() * b).sum_dim(1);
                let loss = if in_blocks {
                    let all =
                        Similarities { block_logits: block, ..Similarities::new(a, candidates, temperature) };
                    info_nce(positive, &if own { all.without_own() } else { all })
                } else {
                    plain(positive, a, candidates, temperature, own)
                };
                let value = loss.to_data();
                let gradients = loss.mul_scalar(3.0 * temperature).backward();
                (value, leaves.map(|leaf| leaf.grad(&gradients).map(Tensor::into_data)))
            };
            let ((value, gradients), (want, want_gradients)) = (run(true), run(false));
            // The rounding error of a similarity of 1, over the temperature; gradients are those of three times the
            // loss.
            let rounding = 1e-6 + 5e-7 / temperature;
            value.assert_approx_eq::<f32>(&want, Tolerance::absolute(rounding).set_relative(1e-4));
            let tolerance = Tolerance::absolute(3.0 * rounding).set_relative(1e-4);
            for (gradient, want) in gradients.into_iter().zip(want_gradients) {
                prop_assert_eq!(gradient.is_some(), want.is_some());
                let (Some(gradient), Some(want)) = (gradient, want) else { continue };
                gradient.assert_approx_eq::<f32>(&want, tolerance);
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn blocks_of_any_size_give_value_and_gradients_of_the_whole_matrix(
            count in 1_usize..12,
            dim in 1_usize..9,
            others in 1_usize..20,
            temperature in 0.05_f64..2.0,
            block in 1_usize..80,
        ) {
            assert_same(count, dim, others, temperature, Some(block))?;
            assert_same(count, dim, others, temperature, None)?;
        }
    }

    #[test]
    fn logits_of_a_hundred_do_not_overflow_in_blocks() {
        for block in [Some(30), None] {
            assert_same(9, 4, 11, 0.01, block).expect("the same");
        }
    }

    #[test]
    fn anchors_that_are_their_own_candidates_get_the_gradient_of_both_parts() {
        let gradient = |loss: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<1>| {
            let z = leaf(7, 3, 0.5);
            let loss = loss(Tensor::<2>::ones([7, 1], &device()), unit(&z));
            z.grad(&loss.backward()).expect("z is a leaf").into_data()
        };
        let want = gradient(&|positive, z| plain(positive, z.clone(), z, 0.3, true));
        for block in [Some(20), None] {
            let found = gradient(&|positive, z| {
                let others = Similarities { block_logits: block, ..Similarities::new(z.clone(), z, 0.3) };
                info_nce(positive, &others.without_own())
            });
            found.assert_approx_eq::<f32>(&want, Tolerance::absolute(2e-6).set_relative(1e-4));
        }
    }

    #[test]
    fn no_block_is_larger_than_told_and_all_rows_are_in_one() {
        let (anchors, candidates) = (leaf(10, 2, 0.0), leaf(6, 2, 1.0));
        let similarities = Similarities::new(anchors, candidates, 1.0).with_block_logits(20);
        assert_eq!(similarities.blocks().collect::<Vec<_>>(), [0..3, 3..6, 6..9, 9..10]);
        let mut seen = Vec::new();
        similarities.mean_loss(|rows, logits| {
            assert_eq!(logits.dims(), [rows.len(), 6]);
            assert!(!logits.is_autodiff());
            seen.extend(rows);
            RowLoss { loss: logits.clone().sum_dim(1), gradient: logits.ones_like() }
        });
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn no_gradient_flows_into_candidates_without_one() {
        let (q, queue) = (leaf(3, 2, 0.0), leaf(5, 2, 1.0));
        let loss = info_nce(
            Tensor::ones([3, 1], &device()),
            &Similarities::new(unit(&q), queue.clone().detach(), 0.1),
        );
        let gradients = loss.backward();
        assert!(q.grad(&gradients).is_some() && queue.grad(&gradients).is_none());
    }

    #[test]
    #[should_panic(expected = "5 candidates, expected a multiple of the 3 anchors")]
    fn candidates_of_other_images_have_no_own() {
        Similarities::new(leaf(3, 2, 0.0), leaf(5, 2, 0.0), 0.1).without_own();
    }
}
