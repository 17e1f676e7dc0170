//! The cross entropy of telling a positive from many negatives, some anchors at a time.
//!
//! Groups of anchors are the jobs, and each has its own sums for the candidates, which are added up in the order of the groups: so
//! the number of threads changes nothing.

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

use super::exponentials::{exponentials, largest};
use super::matrix::{Matrix, MatrixMut};
use super::parallel::{each, map};
use super::pool::{Pooled, any_values};
use super::products::{Old, product};
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, tensor};
use crate::ops::contrast::{GROUP, GROUPS, PAIRS, ROWS};
use crate::ops::{Contrast, Contrasted};

/// Values per job of the last sum.
const PIECE: usize = 1 << 15;
/// The logit of a candidate that is left out. Minus infinity would make a row without other candidates undefined.
const LEFT_OUT: f32 = f32::MIN;

/// See [`contrast`](crate::ops::contrast).
pub(in crate::ops) fn contrast<B: Host>(input: &Contrast) -> Contrasted
where
    DispatchTensor: Bridge<B>,
{
    let plain = |tensor: &Tensor<2>| {
        B::contiguous(&tensor.clone().try_into_primitive::<B>().expect("the device was checked"))
    };
    let ([count, dim], [others, _]) = (input.anchors.dims(), input.candidates.dims());
    let [anchors, candidates, positive] = [&input.anchors, &input.candidates, &input.positive].map(plain);
    let all = All {
        anchors: Matrix::new(B::values(&anchors), dim),
        candidates: Matrix::new(B::values(&candidates), dim),
        positive: B::values(&positive),
        scale: input.scale as f32,
        without_own: input.without_own,
        with_candidates: input.with_candidates,
    };
    let [mut loss, mut share, mut of_anchors] = [count, count, count * dim].map(any_values);
    let group = count.div_ceil(GROUPS).max(GROUP);
    let results = loss.chunks_mut(group).zip(share.chunks_mut(group)).zip(of_anchors.chunks_mut(group * dim));
    let parts = map::<B, _, _>(results.enumerate(), |(index, ((loss, share), of_anchors))| {
        all.group(index * group, loss, share, of_anchors)
    });
    let result = |values: Pooled, shape: [usize; 2]| Tensor::from_primitive::<B>(tensor::<B>(values, shape));
    let of_candidates = input.with_candidates.then(|| result(sum::<B>(parts), [others, dim]));
    Contrasted {
        loss: result(loss, [count, 1]),
        share: result(share, [count, 1]),
        of_anchors: result(of_anchors, [count, dim]),
        of_candidates,
    }
}

struct All<'a> {
    anchors: Matrix<'a>,
    candidates: Matrix<'a>,
    positive: &'a [f32],
    scale: f32,
    without_own: bool,
    with_candidates: bool,
}

impl All<'_> {
    /// The anchors from `first` on; returns their part of the gradient of the candidates.
    fn group(&self, first: usize, loss: &mut [f32], share: &mut [f32], of_anchors: &mut [f32]) -> Pooled {
        let Matrix { rows: others, columns: dim, .. } = self.candidates;
        let mut of_candidates = any_values(if self.with_candidates { others * dim } else { 0 });
        let most = (PAIRS / others).clamp(ROWS.0, ROWS.1);
        let mut pairs = any_values(most.min(loss.len()) * others);
        let blocks = loss.chunks_mut(most).zip(share.chunks_mut(most)).zip(of_anchors.chunks_mut(most * dim));
        for (index, ((loss, share), of_anchors)) in blocks.enumerate() {
            let start = first + index * most;
            let rows = start..start + loss.len();
            let pairs = &mut pairs[..rows.len() * others];
            self.weigh(rows.clone(), pairs, loss, share);
            let weights = Matrix::new(pairs, others);
            let of_rows = &mut MatrixMut::new(of_anchors, dim);
            product(of_rows, weights, self.candidates, 1.0, Old::Replaced);
            if self.with_candidates {
                let old = if index == 0 { Old::Replaced } else { Old::Kept };
                let sums = &mut MatrixMut::new(&mut of_candidates, dim);
                product(sums, weights.transposed(), self.anchors.rows(rows), 1.0, old);
            }
        }
        of_candidates
    }

    /// The losses of some anchors, and in `pairs` the derivatives with respect to their logits.
    fn weigh(&self, rows: Range<usize>, pairs: &mut [f32], loss: &mut [f32], share: &mut [f32]) {
        let others = self.candidates.rows;
        let anchors = self.anchors.rows(rows.clone());
        let logits = &mut MatrixMut::new(pairs, others);
        product(logits, anchors, self.candidates.transposed(), self.scale, Old::Replaced);
        if self.without_own {
            for (row, logits) in rows.clone().zip(pairs.chunks_mut(others)) {
                logits.iter_mut().skip(row).step_by(self.anchors.rows).for_each(|logit| *logit = LEFT_OUT);
            }
        }
        dispatch(Weigh { pairs, others, positive: &self.positive[rows], loss, share });
    }
}

/// Replaces logits by the derivatives with respect to them.
struct Weigh<'a> {
    pairs: &'a mut [f32],
    others: usize,
    positive: &'a [f32],
    loss: &'a mut [f32],
    share: &'a mut [f32],
}

impl Job for Weigh<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let rows = self.pairs.chunks_exact_mut(self.others).zip(self.positive);
        for ((pairs, positive), (loss, share)) in rows.zip(self.loss.iter_mut().zip(self.share)) {
            let largest = largest(pairs);
            let sum = exponentials(pairs, largest);
            // −log σ(positive − log Σ exp(negatives)): stays exact when the positive dominates and the loss is nearly 0.
            let gap = largest + sum.ln() - positive;
            *loss = gap.max(0.0) + (-gap.abs()).exp().ln_1p();
            *share = (gap - *loss).exp();
            let factor = *share / sum;
            pairs.iter_mut().for_each(|pair| *pair *= factor);
        }
    }
}

/// The sum of equally long parts, in their order.
fn sum<B: Host>(parts: Vec<Pooled>) -> Pooled {
    let mut sums = any_values(parts[0].len());
    each::<B, _>(sums.chunks_mut(PIECE).enumerate(), |(index, sums)| {
        let of = |part: &Pooled| index * PIECE..part.len().min((index + 1) * PIECE);
        sums.copy_from_slice(&parts[0][of(&parts[0])]);
        for part in &parts[1..] {
            sums.iter_mut().zip(&part[of(part)]).for_each(|(sum, value)| *sum += value);
        }
    });
    sums
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Tensor;

    use crate::ops::comparison::{on_every_host, random};
    use crate::ops::cpu::alone;
    use crate::ops::{Contrast, Contrasted, contrast, with_backend_kernels};

    fn input([count, others, dim]: [usize; 3], without_own: bool, scale: f64) -> Contrast {
        let (anchors, candidates) = (random([count, dim], 1), random([others, dim], 2));
        let positive = random([count, 1], 3);
        Contrast { anchors, candidates, positive, scale, without_own, with_candidates: true }
    }

    /// All results one after another.
    fn values(found: Contrasted) -> Vec<Vec<f32>> {
        let Contrasted { loss, share, of_anchors, of_candidates } = found;
        let all = [loss, share, of_anchors, of_candidates.expect("asked for")];
        all.map(|tensor| tensor.into_data().iter::<f32>().collect()).into()
    }

    /// The same by definition, in float64.
    fn by_definition(input: &Contrast) -> Vec<Vec<f64>> {
        let list = |tensor: &Tensor<2>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
        let ([count, dim], [others, _]) = (input.anchors.dims(), input.candidates.dims());
        let [a, b, positive] = [&input.anchors, &input.candidates, &input.positive].map(list);
        let (mut loss, mut share) = (Vec::new(), Vec::new());
        let (mut of_a, mut of_b) = (vec![0.0; count * dim], vec![0.0; others * dim]);
        for i in 0..count {
            let seen = |j: &usize| !(input.without_own && j % count == i);
            let logit = |j: usize| -> f64 {
                let products = (0..dim).map(|d| a[i * dim + d] * b[j * dim + d]);
                (input.scale * products.sum::<f64>()).exp()
            };
            let logits: Vec<_> = (0..others).filter(seen).map(|j| (j, logit(j))).collect();
            let all = logits.iter().map(|(_, value)| value).sum::<f64>() + positive[i].exp();
            loss.push(all.ln() - positive[i]);
            share.push(1.0 - positive[i].exp() / all);
            for (j, value) in logits {
                for d in 0..dim {
                    of_a[i * dim + d] += value / all * b[j * dim + d];
                    of_b[j * dim + d] += value / all * a[i * dim + d];
                }
            }
        }
        vec![loss, share, of_a, of_b]
    }

    /// Anchors, candidates and length: a single one, several groups, several blocks of a group.
    const SHAPES: [[usize; 3]; 5] = [[1, 1, 1], [5, 10, 3], [70, 140, 16], [300, 33, 7], [1200, 1200, 5]];

    fn check(shape: [usize; 3], without_own: bool) {
        let input = input(shape, without_own, 2.5);
        let found = values(contrast(&input).expect("every host has it"));
        for (index, (found, want)) in found.iter().zip(by_definition(&input)).enumerate() {
            let largest = want.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
            for (found, want) in found.iter().zip(want) {
                let error = (f64::from(*found) - want).abs() / largest;
                assert!(error < 3e-6, "{shape:?}, own out: {without_own}: result {index} by {error:e}");
            }
        }
    }

    #[test]
    fn losses_and_derivatives_are_those_of_float64() {
        on_every_host(|| {
            for shape in SHAPES {
                check(shape, false);
                if shape[1].is_multiple_of(shape[0]) {
                    check(shape, true);
                }
            }
        });
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let _alone = alone();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| SHAPES.map(|shape| values(contrast(&input(shape, false, 2.5)).expect("flex"))))
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }

    #[test]
    fn logits_that_are_far_apart_and_anchors_without_negatives_have_finite_losses() {
        let found = values(contrast(&input([70, 140, 16], false, 1000.0)).expect("flex has it"));
        assert!(found.iter().flatten().all(|value| value.is_finite()));
        let alone = values(contrast(&input([1, 1, 4], true, 1.0)).expect("flex has it"));
        assert_eq!(alone, [vec![0.0], vec![0.0], vec![0.0; 4], vec![0.0; 4]]);
    }

    #[test]
    fn what_is_not_asked_for_and_other_kernels_give_nothing() {
        let bare = Contrast { with_candidates: false, ..input([70, 140, 16], true, 1.0) };
        assert!(contrast(&bare).expect("flex has it").of_candidates.is_none());
        assert!(with_backend_kernels(|| contrast(&bare)).is_none());
    }

    #[test]
    #[should_panic(expected = "contrast: 5 candidates, expected a multiple of the 3 anchors")]
    fn candidates_of_other_images_have_no_own() {
        contrast(&input([3, 5, 2], true, 1.0));
    }
}
