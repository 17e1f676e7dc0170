//! Matrices within slices, of any strides.

#![allow(unsafe_code)] // the columns of a matrix are not a slice

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix within a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    ///
    /// # Panics
    /// If the number of values is not a multiple of `columns`.
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(values.len().is_multiple_of(columns), "{} values in {columns} columns", values.len());
        Self { values, rows: values.len() / columns, columns, row_stride: columns, column_stride: 1 }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// If there are fewer, or if the matrix is empty.
    pub(super) fn columns(self, range: Range<usize>) -> Self {
        assert!(range.end <= self.columns, "columns {range:?} of {}", self.columns);
        let values = &self.values[range.start * self.column_stride..];
        Self { values, columns: range.len(), ..self }
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// If there are fewer, or if the matrix is empty.
    pub(super) fn rows(self, range: Range<usize>) -> Self {
        assert!(range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let values = &self.values[range.start * self.row_stride..];
        Self { values, rows: range.len(), ..self }
    }

    /// The matrix with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// A row of a matrix whose rows are contiguous.
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        debug_assert_eq!(self.column_stride, 1, "contiguous rows");
        &self.values[row * self.row_stride..][..self.columns]
    }

    /// Panics if an element lies outside of the values.
    pub(super) fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0, "an empty matrix");
        let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
        assert!(last < self.values.len(), "element {last} of {} values", self.values.len());
    }
}

/// A matrix to be written, with contiguous rows. No other matrix shares its elements.
#[derive(Debug)]
pub(super) struct MatrixMut<'a> {
    pub(super) first: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: as `&mut [f32]`, it is the only way to its elements.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// Rows one after another.
    ///
    /// # Panics
    /// If the number of values is not a multiple of `columns`.
    pub(super) fn new(values: &'a mut [f32], columns: usize) -> Self {
        assert!(values.len().is_multiple_of(columns), "{} values in {columns} columns", values.len());
        let rows = values.len() / columns;
        Self { first: values.as_mut_ptr(), rows, columns, stride: columns, values: PhantomData }
    }

    /// The first `count` rows, and the rest.
    pub(super) fn split_rows(self, count: usize) -> (Self, Self) {
        assert!(count <= self.rows, "{count} of {} rows", self.rows);
        // SAFETY: at most one past the last row; the two parts have no row in common.
        let second = unsafe { self.first.add(count * self.stride) };
        (Self { rows: count, ..self }, Self { first: second, rows: self.rows - count, ..self })
    }

    /// The first `count` columns, and the rest.
    pub(super) fn split_columns(self, count: usize) -> (Self, Self) {
        assert!(count <= self.columns, "{count} of {} columns", self.columns);
        // SAFETY: within the first row or at its end; the two parts have no column in common.
        let second = unsafe { self.first.add(count) };
        (Self { columns: count, ..self }, Self { first: second, columns: self.columns - count, ..self })
    }

    /// Bands of `rows` rows, the last one maybe of fewer.
    pub(super) fn bands(self, rows: usize) -> Vec<Self> {
        self.cut(rows, |matrix| matrix.rows, Self::split_rows)
    }

    /// Strips of `columns` columns, the last one maybe of fewer.
    pub(super) fn strips(self, columns: usize) -> Vec<Self> {
        self.cut(columns, |matrix| matrix.columns, Self::split_columns)
    }

    fn cut(self, length: usize, of: fn(&Self) -> usize, split: fn(Self, usize) -> (Self, Self)) -> Vec<Self> {
        let mut pieces = Vec::with_capacity(of(&self).div_ceil(length));
        let mut left = self;
        while of(&left) > 0 {
            let count = length.min(of(&left));
            let (piece, rest) = split(left, count);
            pieces.push(piece);
            left = rest;
        }
        pieces
    }

    /// Parts of `rows` rows and `columns` columns, row by row.
    ///
    /// # Panics
    /// If the parts do not fill the matrix.
    pub(super) fn parts(self, rows: usize, columns: usize) -> Vec<Self> {
        let whole = self.rows.is_multiple_of(rows) && self.columns.is_multiple_of(columns);
        assert!(whole, "parts of {rows} x {columns} in {} x {}", self.rows, self.columns);
        self.bands(rows).into_iter().flat_map(|band| band.strips(columns)).collect()
    }

    /// Some of the rows, borrowed.
    pub(super) fn rows_mut(&mut self, range: Range<usize>) -> MatrixMut<'_> {
        assert!(range.end <= self.rows, "rows {range:?} of {}", self.rows);
        // SAFETY: within the matrix, and `self` is borrowed for as long as the result lives.
        let first = unsafe { self.first.add(range.start * self.stride) };
        MatrixMut {
            first,
            rows: range.len(),
            columns: self.columns,
            stride: self.stride,
            values: PhantomData,
        }
    }

    /// The values of a row.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: a row of the matrix, whose elements only `self` reaches.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_apart_and_fill_the_matrix() {
        let mut values = vec![0.0; 4 * 6];
        let parts = MatrixMut::new(&mut values, 6).parts(2, 3);
        assert_eq!(parts.len(), 4);
        std::thread::scope(|scope| {
            for (index, mut part) in parts.into_iter().enumerate() {
                scope.spawn(move || {
                    part.row_mut(0).fill(index as f32);
                    part.rows_mut(1..2).row_mut(0).fill(index as f32 + 0.5);
                });
            }
        });
        let row = |left: f32, right: f32| [[left; 3], [right; 3]].concat();
        assert_eq!(values, [row(0.0, 1.0), row(0.5, 1.5), row(2.0, 3.0), row(2.5, 3.5)].concat());
    }

    #[test]
    fn the_last_band_has_what_is_left() {
        let mut values = [0.0; 7 * 2];
        let bands = MatrixMut::new(&mut values, 2).bands(3);
        assert_eq!(bands.iter().map(|band| band.rows).collect::<Vec<_>>(), [3, 3, 1]);
        for (index, mut band) in bands.into_iter().enumerate() {
            band.row_mut(0).fill(1.0 + index as f32);
        }
        assert_eq!(values, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.0]);
    }

    #[test]
    fn rows_and_columns_are_those_of_the_matrix_and_of_its_transpose() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let matrix = Matrix::new(&values, 4).rows(1..3).columns(1..3);
        assert_eq!((matrix.row(0), matrix.row(1)), (&[5.0, 6.0][..], &[9.0, 10.0][..]));
        let transposed = matrix.transposed();
        transposed.check();
        assert_eq!((transposed.rows, transposed.columns, transposed.row_stride), (2, 2, 1));
        assert_eq!(transposed.transposed().row(1), [9.0, 10.0]);
    }

    #[test]
    #[should_panic(expected = "row 2 of 2")]
    fn a_row_beyond_the_last_is_refused() {
        MatrixMut::new(&mut [0.0; 6], 3).row_mut(2);
    }

    #[test]
    #[should_panic(expected = "columns 2..5 of 4")]
    fn columns_beyond_the_last_are_refused() {
        Matrix::new(&[0.0; 8], 4).columns(2..5);
    }
}
