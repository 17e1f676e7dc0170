//! What happens to the rows of a job between its products.

use crate::ops::cpu::layer_norm::Moments;
use crate::ops::cpu::normal::normal;
use crate::ops::cpu::simd::{Instructions, Job};

/// Writes GELU to `active`.
pub(super) struct Gelu<'a> {
    pub(super) h: &'a [f32],
    pub(super) active: &'a mut [f32],
}

impl Job for Gelu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for (x, y) in self.h.iter().zip(self.active) {
            *y = *x * normal(*x).0;
        }
    }
}

pub(super) struct GeluAndSlope<'a> {
    pub(super) h: &'a [f32],
    pub(super) active: &'a mut [f32],
    pub(super) slopes: &'a mut [f32],
}

impl Job for GeluAndSlope<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for ((x, y), slope) in self.h.iter().zip(self.active).zip(self.slopes) {
            let (share, density) = normal(*x);
            *y = x * share;
            *slope = share + x * density;
        }
    }
}

/// Starts the rows of `y` as those of `x` plus a row.
pub(in crate::ops::cpu) struct AddRow<'a> {
    pub(in crate::ops::cpu) x: &'a [f32],
    pub(in crate::ops::cpu) row: &'a [f32],
    pub(in crate::ops::cpu) y: &'a mut [f32],
}

impl Job for AddRow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let length = self.row.len();
        for (y, x) in self.y.chunks_exact_mut(length).zip(self.x.chunks_exact(length)) {
            y.iter_mut().zip(x).zip(self.row).for_each(|((y, x), bias)| *y = x + bias);
        }
    }
}

/// Normalises rows whose moments are known.
pub(in crate::ops::cpu) struct Again<'a> {
    pub(in crate::ops::cpu) x: &'a [f32],
    pub(in crate::ops::cpu) y: &'a mut [f32],
    pub(in crate::ops::cpu) moments: &'a [Moments],
    pub(in crate::ops::cpu) weight: &'a [f32],
    pub(in crate::ops::cpu) bias: &'a [f32],
}

impl Job for Again<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let length = self.weight.len();
        let rows = self.x.chunks_exact(length).zip(self.y.chunks_exact_mut(length));
        for ((x, y), moments) in rows.zip(self.moments) {
            moments.normalise(x, y, self.weight, self.bias);
        }
    }
}

/// Multiplies values by factors, and sums the products of each column.
pub(super) struct TimesAndSums<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) factors: &'a [f32],
    pub(super) columns: usize,
}

impl Job for TimesAndSums<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let mut sums = vec![0.0; self.columns];
        let rows = self.values.chunks_exact_mut(self.columns).zip(self.factors.chunks_exact(self.columns));
        for (values, factors) in rows {
            for ((sum, value), factor) in sums.iter_mut().zip(values).zip(factors) {
                *value *= factor;
                *sum += *value;
            }
        }
        sums
    }
}

/// Adds others to values, and sums the others of each column.
pub(in crate::ops::cpu) struct AddAndSums<'a> {
    pub(in crate::ops::cpu) values: &'a mut [f32],
    pub(in crate::ops::cpu) others: &'a [f32],
    pub(in crate::ops::cpu) columns: usize,
}

impl Job for AddAndSums<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<f32> {
        let mut sums = vec![0.0; self.columns];
        let rows = self.values.chunks_exact_mut(self.columns).zip(self.others.chunks_exact(self.columns));
        for (values, others) in rows {
            for ((sum, value), other) in sums.iter_mut().zip(values).zip(others) {
                *value += other;
                *sum += other;
            }
        }
        sums
    }
}
