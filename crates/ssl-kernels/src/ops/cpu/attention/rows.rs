//! What happens to the rows of a block between its products.

use std::ops::Range;

use crate::ops::cpu::exponentials::{exponentials, largest};
use crate::ops::cpu::matrix::{Matrix, MatrixMut};
use crate::ops::cpu::normal::exp;
use crate::ops::cpu::products::Old;
use crate::ops::cpu::scalar_product::scalar_product;
use crate::ops::cpu::simd::{Instructions, Job};

/// The largest pair of a query so far, and the sum of exponentials relative to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    largest: f32,
    sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self { largest: f32::NEG_INFINITY, sum: 0.0 }
    }
}

impl Running {
    /// `log Σ exp` of all pairs so far.
    pub(super) fn log_sum(&self) -> f32 {
        self.largest + self.sum.ln()
    }
}

/// Replaces pairs by their exponentials relative to the largest of their row so far, and scales what was summed before to
/// the new largest one.
pub(super) struct Exponentials<'a, 'b> {
    pub(super) pairs: &'a mut [f32],
    pub(super) columns: usize,
    pub(super) running: &'a mut [Running],
    /// The output of former blocks, if there are any.
    pub(super) output: Option<&'a mut MatrixMut<'b>>,
}

impl Job for Exponentials<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        for (row, (pairs, running)) in self.pairs.chunks_exact_mut(self.columns).zip(self.running).enumerate()
        {
            let largest = running.largest.max(largest(pairs));
            // NaN is no largest value, and has to stay.
            if largest == f32::NEG_INFINITY && pairs.iter().all(|pair| *pair == f32::NEG_INFINITY) {
                pairs.fill(0.0);
                continue;
            }
            let before = exp(running.largest - largest);
            let sum = exponentials(pairs, largest);
            *running = Running { largest, sum: running.sum * before + sum };
            if let Some(output) = &mut self.output {
                output.row_mut(row).iter_mut().for_each(|value| *value *= before);
            }
        }
    }
}

/// Divides every row by its sum of exponentials.
pub(super) struct Divide<'a, 'b> {
    pub(super) output: &'a mut MatrixMut<'b>,
    pub(super) running: &'a [Running],
}

impl Job for Divide<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (row, running) in self.running.iter().enumerate() {
            let factor = 1.0 / running.sum;
            self.output.row_mut(row).iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// The scalar products of rows of two matrices.
pub(super) struct Products<'a> {
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) rows: usize,
}

impl Job for Products<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        (0..self.rows).map(|row| scalar_product(self.a.row(row), self.b.row(row))).collect()
    }
}

/// Replaces pairs by their weights, and the gradients of weights by those of the pairs.
pub(super) struct Slopes<'a> {
    pub(super) weights: &'a mut [f32],
    pub(super) slopes: &'a mut [f32],
    pub(super) columns: usize,
    /// `log Σ exp` of every query's pairs.
    pub(super) sums: &'a [f32],
    /// Scalar products of outputs and their gradients.
    pub(super) products: &'a [f32],
}

impl Job for Slopes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let rows =
            self.weights.chunks_exact_mut(self.columns).zip(self.slopes.chunks_exact_mut(self.columns));
        for ((weights, slopes), (sum, product)) in rows.zip(self.sums.iter().zip(self.products)) {
            for (weight, slope) in weights.iter_mut().zip(slopes) {
                *weight = exp(*weight - sum);
                *slope = *weight * (*slope - product);
            }
        }
    }
}

/// Adds the bias of a block to its pairs.
pub(super) struct AddBias<'a> {
    pub(super) pairs: &'a mut [f32],
    pub(super) bias: Matrix<'a>,
}

impl Job for AddBias<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (row, pairs) in self.pairs.chunks_exact_mut(self.bias.columns).enumerate() {
            pairs.iter_mut().zip(self.bias.row(row)).for_each(|(pair, bias)| *pair += bias);
        }
    }
}

/// Writes the gradients of a block's pairs into that of the bias, or adds them.
pub(super) struct IntoBias<'a, 'b> {
    pub(super) slopes: &'a [f32],
    pub(super) bias: &'a mut MatrixMut<'b>,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) old: Old,
}

impl Job for IntoBias<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (row, slopes) in self.rows.zip(self.slopes.chunks_exact(self.columns.len())) {
            let bias = &mut self.bias.row_mut(row)[self.columns.clone()];
            match self.old {
                Old::Replaced => bias.copy_from_slice(slopes),
                Old::Kept => bias.iter_mut().zip(slopes).for_each(|(bias, slope)| *bias += slope),
            }
        }
    }
}
