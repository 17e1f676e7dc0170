//! Exponentials of rows, relative to their largest value.

use super::normal::exp;

/// Sums that run side by side, as many as the widest vector has.
const SIDE: usize = 16;

#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let mut all = [f32::NEG_INFINITY; SIDE];
    for values in whole {
        for i in 0..SIDE {
            all[i] = greater(all[i], values[i]);
        }
    }
    rest.iter().chain(&all).fold(f32::NEG_INFINITY, |a, b| greater(a, *b))
}

/// Replaces values by `exp(value − largest)`, and returns their sum.
#[inline(always)]
pub(super) fn exponentials(values: &mut [f32], largest: f32) -> f32 {
    let (whole, rest) = values.as_chunks_mut::<SIDE>();
    let mut sums = [0.0; SIDE];
    for values in whole {
        for i in 0..SIDE {
            values[i] = exp(values[i] - largest);
            sums[i] += values[i];
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *value = exp(*value - largest);
        *sum += *value;
    }
    sums.iter().sum()
}
