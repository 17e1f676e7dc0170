//! A head of an image.

use std::ops::Range;

use super::rows;
use crate::ops::cpu::matrix::{Matrix, MatrixMut};
use crate::ops::cpu::pool::{Pooled, any_values};
use crate::ops::cpu::products::{Old, product};
use crate::ops::cpu::simd::dispatch;

/// Queries and keys of a block; its pairs fit in the second level of a cache.
const BLOCK: usize = 256;

/// What both passes read.
pub(in crate::ops::cpu) struct Head<'a> {
    pub(in crate::ops::cpu) scale: f32,
    /// `[query, head_dim]`
    pub(in crate::ops::cpu) q: Matrix<'a>,
    /// `[key, head_dim]`
    pub(in crate::ops::cpu) k: Matrix<'a>,
    /// `[key, head_dim]`
    pub(in crate::ops::cpu) v: Matrix<'a>,
    /// `[query, key]`, perhaps with columns for more keys
    pub(in crate::ops::cpu) bias: Option<Matrix<'a>>,
}

/// What the backward pass reads besides.
pub(in crate::ops::cpu) struct Gradient<'a> {
    /// `log Σ exp` of the pairs of every query.
    pub(in crate::ops::cpu) sums: &'a [f32],
    /// `[query, head_dim]`
    pub(in crate::ops::cpu) output: Matrix<'a>,
    /// Of the output.
    pub(in crate::ops::cpu) gradient: Matrix<'a>,
}

impl Head<'_> {
    /// Writes the output, and returns `log Σ exp` of the pairs of every query.
    pub(in crate::ops::cpu) fn forward(&self, mut output: MatrixMut<'_>) -> Vec<f32> {
        let mut pairs = self.room();
        let mut sums = Vec::with_capacity(self.q.rows);
        for queries in blocks(self.q.rows) {
            let mut output = output.rows_mut(queries.clone());
            let mut running = vec![rows::Running::default(); queries.len()];
            for keys in blocks(self.k.rows) {
                let pairs = &mut pairs[..queries.len() * keys.len()];
                self.pairs(pairs, queries.clone(), keys.clone());
                let old = if keys.start == 0 { Old::Replaced } else { Old::Kept };
                dispatch(rows::Exponentials {
                    pairs: &mut *pairs,
                    columns: keys.len(),
                    running: &mut running,
                    output: (old == Old::Kept).then_some(&mut output),
                });
                product(&mut output, Matrix::new(pairs, keys.len()), self.v.rows(keys), 1.0, old);
            }
            dispatch(rows::Divide { output: &mut output, running: &running });
            sums.extend(running.iter().map(rows::Running::log_sum));
        }
        sums
    }

    /// Writes the gradients of queries, keys and values, and that of the bias, if it is wanted: the first image of those that
    /// share one overwrites it.
    pub(in crate::ops::cpu) fn backward(
        &self,
        given: &Gradient<'_>,
        [mut dq, mut dk, mut dv]: [MatrixMut<'_>; 3],
        mut bias: Option<(&mut MatrixMut<'_>, bool)>,
    ) {
        let Gradient { sums, output, gradient } = *given;
        let (mut weights, mut slopes) = (self.room(), self.room());
        let products = dispatch(rows::Products { a: output, b: gradient, rows: self.q.rows });
        let kept = |first: bool| if first { Old::Replaced } else { Old::Kept };
        for keys in blocks(self.k.rows) {
            for queries in blocks(self.q.rows) {
                let (width, count) = (keys.len(), queries.len() * keys.len());
                let (weights, slopes) = (&mut weights[..count], &mut slopes[..count]);
                let (q, dy) = (self.q.rows(queries.clone()), gradient.rows(queries.clone()));
                let (k, v) = (self.k.rows(keys.clone()), self.v.rows(keys.clone()));
                self.pairs(weights, queries.clone(), keys.clone());
                product(&mut MatrixMut::new(slopes, width), dy, v.transposed(), 1.0, Old::Replaced);
                dispatch(rows::Slopes {
                    weights: &mut *weights,
                    slopes: &mut *slopes,
                    columns: width,
                    sums: &sums[queries.clone()],
                    products: &products[queries.clone()],
                });
                if let Some((bias, first)) = &mut bias {
                    let (rows, columns, old) = (queries.clone(), keys.clone(), kept(*first));
                    dispatch(rows::IntoBias { slopes, bias, rows, columns, old });
                }
                let (weights, slopes) = (Matrix::new(weights, width), Matrix::new(slopes, width));
                let old = kept(queries.start == 0);
                product(&mut dv.rows_mut(keys.clone()), weights.transposed(), dy, 1.0, old);
                product(&mut dk.rows_mut(keys.clone()), slopes.transposed(), q, self.scale, old);
                product(&mut dq.rows_mut(queries), slopes, k, self.scale, kept(keys.start == 0));
            }
        }
        let unseen = |gradient: &mut MatrixMut<'_>| {
            (self.k.rows..gradient.rows).for_each(|row| gradient.row_mut(row).fill(0.0));
        };
        [dk, dv].iter_mut().for_each(unseen);
        if let Some((bias, true)) = bias {
            (0..bias.rows).for_each(|row| bias.row_mut(row)[self.k.rows..].fill(0.0));
        }
    }

    /// The pairs of a block: scaled products, and the bias.
    fn pairs(&self, pairs: &mut [f32], queries: Range<usize>, keys: Range<usize>) {
        let (q, k) = (self.q.rows(queries.clone()), self.k.rows(keys.clone()));
        product(&mut MatrixMut::new(pairs, keys.len()), q, k.transposed(), self.scale, Old::Replaced);
        if let Some(bias) = self.bias {
            dispatch(rows::AddBias { pairs, bias: bias.rows(queries).columns(keys) });
        }
    }

    /// Memory for the pairs of a block.
    fn room(&self) -> Pooled {
        any_values(BLOCK.min(self.q.rows) * BLOCK.min(self.k.rows))
    }
}

/// The blocks of so many tokens.
fn blocks(tokens: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..tokens).step_by(BLOCK).map(move |start| start..tokens.min(start + BLOCK))
}
