//! Tensors by name.

use std::collections::BTreeMap;

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Values in float32, the last axis innermost.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// A tensor of that shape.
    ///
    /// # Panics
    /// If the shape has another number of values.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        let expected: usize = shape.iter().product();
        assert_eq!(values.len(), expected, "a tensor of shape {shape:?} has {expected} values");
        Self { shape, values }
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, the last axis innermost.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// A matrix with its axes exchanged; other tensors stay as they are.
    pub(crate) fn transposed(self) -> Self {
        let &[rows, columns] = &self.shape[..] else { return self };
        let value = |index: usize| self.values[index % rows * columns + index / rows];
        Self { values: (0..rows * columns).map(value).collect(), shape: vec![columns, rows] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let matrix = Tensor::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(matrix.transposed(), Tensor::new([3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    }

    #[test]
    #[should_panic(expected = "a tensor of shape [2, 3] has 6 values")]
    fn a_shape_of_other_values_is_refused() {
        Tensor::new([2, 3], vec![1.0]);
    }
}
