//! Named results and how far two sets of them are apart.

use std::collections::BTreeMap;
use std::fmt;

use burn::tensor::{Tensor, TensorData};

/// A tensor counts as no smaller than this share of the largest of its group, for the sums in it may have been as large.
const SMALLEST_SHARE: f64 = 1e-2;

/// Below this share of the largest of its group, a tensor is 0 but for rounding, and has to be so on both devices: the
/// gradient of a bias before a batch norm.
const ZERO_SHARE: f64 = 1e-5;

/// Results of a case by `group/path`: `loss/`, `gradient/encoder.conv1.weight`.
#[derive(Default)]
pub(crate) struct Record(BTreeMap<String, TensorData>);

impl Record {
    /// Adds a tensor to a group.
    pub(crate) fn insert<const D: usize>(&mut self, group: &str, path: &str, tensor: Tensor<D>) {
        self.insert_data(group, path, tensor.without_autodiff().into_data());
    }

    /// Adds what was read back already.
    pub(crate) fn insert_data(&mut self, group: &str, path: &str, data: TensorData) {
        self.0.insert(format!("{group}/{path}"), data);
    }

    /// Adds all tensors of a module.
    pub(crate) fn insert_all(&mut self, group: &str, tensors: BTreeMap<String, TensorData>) {
        tensors.into_iter().for_each(|(path, data)| self.insert_data(group, &path, data));
    }

    /// Largest absolute value of a group.
    fn size_of(&self, group: &str) -> f64 {
        let members = self.0.iter().filter(|(path, _)| group_of(path) == group);
        members.map(|(_, data)| size(data)).fold(0.0, f64::max)
    }
}

/// The tensor in which two records differ most.
#[derive(Debug)]
pub(crate) struct Difference {
    path: String,
    /// Largest absolute difference over the size of the tensor; infinite if a value or the tensor itself is missing.
    pub(crate) relative: f64,
}

impl Difference {
    /// Compares all tensors of two records.
    pub(crate) fn largest(want: &Record, got: &Record) -> Self {
        let mut largest = Self { path: "nothing".to_owned(), relative: 0.0 };
        for path in want.0.keys().chain(got.0.keys()) {
            let relative = match (want.0.get(path), got.0.get(path)) {
                (Some(a), Some(b)) if a.shape() == b.shape() => relative(a, b, want.size_of(group_of(path))),
                _ => f64::INFINITY,
            };
            if relative > largest.relative {
                largest = Self { path: path.clone(), relative };
            }
        }
        largest
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} in {}", self.relative, self.path)
    }
}

fn group_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn size(data: &TensorData) -> f64 {
    data.iter::<f64>().fold(0.0, |size, value| size.max(value.abs()))
}

/// Largest absolute difference over the size of the tensor, in a group whose largest value is `largest`.
fn relative(want: &TensorData, got: &TensorData, largest: f64) -> f64 {
    if size(want).max(size(got)) < ZERO_SHARE * largest {
        return 0.0;
    }
    let scale = size(want).max(SMALLEST_SHARE * largest);
    distance(want, got) / scale.max(f64::MIN_POSITIVE)
}

fn distance(want: &TensorData, got: &TensorData) -> f64 {
    let pairs = want.iter::<f64>().zip(got.iter::<f64>());
    pairs.fold(0.0, |largest, (want, got)| {
        let difference = (want - got).abs();
        if difference.is_nan() { f64::INFINITY } else { largest.max(difference) }
    })
}
