//! Compares results with expected values.

use crate::{Array, Values};

/// How far a tensor may differ from the expected one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule<'a> {
    /// Allowed error relative to the scale of the tensor.
    pub rtol: f64,
    /// Allowed absolute error.
    pub atol: f64,
    /// The initial value of a tensor that changes: the scale is then the size of the change.
    pub start: Option<&'a Array>,
    /// Where it is 0, a value need only be finite.
    pub mask: Option<&'a Array>,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Largest absolute error; infinite if a value is not finite.
    pub error: f64,
    /// Largest absolute error allowed.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the error is within the tolerance.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }

    /// The error as a multiple of the tolerance, at most 1 when it passes.
    pub fn ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.tolerance }
    }
}

/// Compares a tensor with the expected one.
///
/// ```text
/// F32:  |got − want| ≤ atol + rtol · scale,   scale = max |want|, or max |want − start|
/// I64:  got = want
/// U8:   |got − want| ≤ atol
/// ```
///
/// # Panics
/// If types or shapes differ.
pub fn compare(want: &Array, got: &Array, rule: &Rule<'_>) -> Comparison {
    assert_eq!(
        (&want.shape, want.values.dtype()),
        (&got.shape, got.values.dtype()),
        "shape and type of a result"
    );
    let (want, got) = (numbers(want), (numbers(got), &got.values));
    let tolerance = match got.1 {
        Values::F32(_) => rule.atol + rule.rtol * scale(&want, rule.start),
        Values::I64(_) => 0.0,
        Values::U8(_) => rule.atol,
    };
    let mask = rule.mask.map(numbers);
    let is_compared = |index: usize| mask.as_ref().is_none_or(|mask| mask[index] != 0.0);
    let mut error = 0.0_f64;
    for (index, (got, want)) in got.0.into_iter().zip(want).enumerate() {
        if !got.is_finite() {
            error = f64::INFINITY;
        } else if is_compared(index) {
            error = error.max((got - want).abs());
        }
    }
    Comparison { error, tolerance }
}

fn scale(want: &[f64], start: Option<&Array>) -> f64 {
    let change = |start: &Array| {
        let pairs = numbers(start).into_iter().zip(want);
        pairs.fold(0.0, |scale: f64, (start, want)| scale.max((want - start).abs()))
    };
    let size = || want.iter().fold(0.0, |scale: f64, want| scale.max(want.abs()));
    start.map_or_else(size, change)
}

/// The values in float64, which holds all three types of number (counters stay far below 2⁵³).
fn numbers(array: &Array) -> Vec<f64> {
    match &array.values {
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
        Values::U8(values) => values.iter().map(|&value| f64::from(value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Array {
        Array::f32([values.len()], values.to_vec())
    }

    const RULE: Rule<'static> = Rule { rtol: 0.1, atol: 0.0, start: None, mask: None };

    #[test]
    fn the_largest_value_of_the_tensor_is_the_scale_of_all() {
        let want = floats(&[10.0, 0.0]);
        assert!(compare(&want, &floats(&[10.0, 0.99]), &RULE).passes());
        assert!(!compare(&want, &floats(&[10.0, 1.01]), &RULE).passes());
    }

    #[test]
    fn the_absolute_tolerance_adds_to_the_relative_one() {
        let comparison = compare(&floats(&[10.0]), &floats(&[11.2]), &Rule { atol: 0.5, ..RULE });
        assert!((comparison.tolerance - 1.5).abs() < 1e-12 && (comparison.ratio() - 0.8).abs() < 1e-6);
    }

    #[test]
    fn a_tensor_that_must_not_change_may_move_by_the_absolute_tolerance_alone() {
        let start = floats(&[10.0]);
        let rule = Rule { start: Some(&start), atol: 1e-3, ..RULE };
        assert!(!compare(&start, &floats(&[10.1]), &rule).passes());
        assert!(compare(&start, &floats(&[10.0005]), &rule).passes());
    }

    #[test]
    fn masked_values_only_have_to_be_finite() {
        let mask = floats(&[0.0, 1.0]);
        let rule = Rule { mask: Some(&mask), ..RULE };
        let want = floats(&[1.0, 1.0]);
        assert!(compare(&want, &floats(&[99.0, 1.0]), &rule).passes());
        assert!(!compare(&want, &floats(&[f32::NAN, 1.0]), &rule).passes());
    }

    #[test]
    fn values_that_are_not_finite_fail() {
        for value in [f32::NAN, f32::INFINITY] {
            let comparison = compare(&floats(&[1.0]), &floats(&[value]), &Rule { atol: 1e9, ..RULE });
            assert!(!comparison.passes() && comparison.ratio() > 1.0);
        }
    }

    #[test]
    fn integers_are_equal_and_bytes_within_levels() {
        let rule = Rule { rtol: 1.0, atol: 1.0, ..RULE };
        assert!(!compare(&Array::i64([1], vec![5]), &Array::i64([1], vec![6]), &rule).passes());
        assert!(compare(&Array::u8([1], vec![5]), &Array::u8([1], vec![6]), &rule).passes());
        assert!(!compare(&Array::u8([1], vec![5]), &Array::u8([1], vec![7]), &rule).passes());
        assert_eq!(
            compare(&Array::i64([1], vec![5]), &Array::i64([1], vec![6]), &rule).ratio(),
            f64::INFINITY
        );
    }
}
