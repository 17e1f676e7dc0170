//! How far results may be from those of float64.
//!
//! ```text
//! |result − exact| ≤ max(1e-4 · size, 8 · rounding)      for every element of a tensor
//! size     = largest |exact| of the tensor
//! rounding = largest |float32 − exact| of the tensor, over four runs of Burn's generic operations on flex,
//!            whose inputs are nudged by as much as float32 rounds them
//! ```
//!
//! The second bound is for tensors whose values cancel: the gradient of a bias before a batch norm is 0, and in float32
//! whatever rounding leaves. The size of one tensor never excuses another. Counters have to be equal.

use std::collections::BTreeMap;
use std::fmt;

use burn::tensor::TensorData;

use crate::record::Record;

/// Difference that is always allowed, relative to the size of a tensor.
const TOLERANCE: f64 = 1e-4;

/// How many times the rounding of the generic operations is allowed. Other kernels sum in another order.
const ROUNDINGS: f64 = 8.0;

/// What results should be.
pub(crate) struct Expected {
    exact: Record,
    /// How far float32 is off, by path.
    rounding: BTreeMap<String, f64>,
}

impl Expected {
    /// - `exact`: results in float64
    /// - `rounded`: results of the generic operations in float32
    pub(crate) fn new(exact: Record, rounded: impl Iterator<Item = Record>) -> Self {
        let mut rounding = BTreeMap::new();
        for record in rounded {
            for (path, exact) in exact.iter() {
                let error = record.get(path).map_or(0.0, |rounded| distance(rounded, exact));
                let largest: &mut f64 = rounding.entry(path.clone()).or_default();
                *largest = largest.max(error);
            }
        }
        Self { exact, rounding }
    }

    /// Compares all tensors.
    pub(crate) fn compare(&self, got: &Record) -> Difference {
        let mut difference = Difference::default();
        for (path, _) in got.iter().filter(|(path, _)| self.exact.get(path).is_none()) {
            difference.wrong.push(path.clone());
        }
        for (path, exact) in self.exact.iter() {
            match got.get(path) {
                Some(got) if got.shape() == exact.shape() && got.dtype() == exact.dtype() => {
                    difference.add(path, distance(got, exact), exact, self.rounding[path]);
                }
                _ => difference.wrong.push(path.clone()),
            }
        }
        difference
    }
}

/// How far the results of a case are off.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Tensors that are missing, of another shape, or further off than allowed.
    wrong: Vec<String>,
    /// The largest difference among the tensors within [`TOLERANCE`], relative to their size.
    largest: Largest,
    /// The largest difference among the others, in multiples of rounding.
    largest_by_rounding: Largest,
    by_rounding: usize,
}

#[derive(Debug, Default)]
struct Largest {
    value: f64,
    path: String,
}

impl Largest {
    fn add(&mut self, value: f64, path: &str) {
        if value > self.value {
            *self = Self { value, path: path.to_owned() };
        }
    }
}

impl Difference {
    fn add(&mut self, path: &str, distance: f64, exact: &TensorData, rounding: f64) {
        let size = exact.iter::<f64>().fold(0.0, |size: f64, value| size.max(value.abs()));
        let tolerance = if exact.dtype().is_float() { TOLERANCE } else { 0.0 };
        if distance <= tolerance * size {
            return self.largest.add(distance / size, path);
        }
        self.by_rounding += 1;
        self.largest_by_rounding.add(distance / rounding, path);
        let allowed = ROUNDINGS * rounding;
        if distance > allowed || !allowed.is_finite() {
            self.wrong
                .push(format!("{path} (off by {distance:.1e}, size {size:.1e}, rounding {rounding:.1e})"));
        }
    }

    /// Whether no tensor is further off than allowed.
    pub(crate) fn is_allowed(&self) -> bool {
        self.wrong.is_empty()
    }

    /// How many tensors are off by more than [`TOLERANCE`].
    pub(crate) fn by_rounding(&self) -> usize {
        self.by_rounding
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.wrong.is_empty() {
            write!(f, "wrong: {}; ", self.wrong.join(", "))?;
        }
        write!(f, "{:.1e} in {}", self.largest.value, self.largest.path)?;
        if self.by_rounding > 0 {
            let Largest { value, path } = &self.largest_by_rounding;
            write!(f, "; {} by rounding, {value:.1} x in {path}", self.by_rounding)?;
        }
        Ok(())
    }
}

/// Largest difference of two elements; infinite if one is no number.
fn distance(a: &TensorData, b: &TensorData) -> f64 {
    let pairs = a.iter::<f64>().zip(b.iter::<f64>());
    pairs.fold(0.0, |largest, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f64::INFINITY } else { largest.max(difference) }
    })
}
