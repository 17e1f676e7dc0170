//! Matrix products over values in memory, of any strides and without copies.

#![allow(unsafe_code)] // `gemm` takes pointers, and the columns of a matrix are not a slice

use std::marker::PhantomData;
use std::ops::Range;

use gemm::{Parallelism, gemm};

use super::Host;
use super::parallel::each;

/// Fewest rows or columns of a part that is worth a thread. Smaller matrices may be multiplied in another order of sums, so
/// that the result would depend on the number of threads.
const PART: usize = 128;

/// A matrix within a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
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
    fn check(&self) {
        assert!(self.rows > 0 && self.columns > 0, "an empty matrix");
        let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
        assert!(last < self.values.len(), "element {last} of {} values", self.values.len());
    }
}

/// A matrix to be written, with contiguous rows. No other matrix shares its elements.
#[derive(Debug)]
pub(super) struct MatrixMut<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
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

    /// Parts of `rows` rows and `columns` columns, row by row.
    ///
    /// # Panics
    /// If the parts do not fill the matrix.
    pub(super) fn parts(self, rows: usize, columns: usize) -> Vec<Self> {
        let whole = self.rows.is_multiple_of(rows) && self.columns.is_multiple_of(columns);
        assert!(whole, "parts of {rows} x {columns} in {} x {}", self.rows, self.columns);
        let mut parts = Vec::with_capacity(self.rows / rows * (self.columns / columns));
        let mut below = self;
        while below.rows > 0 {
            let (mut band, rest) = below.split_rows(rows);
            while band.columns > 0 {
                let (part, rest) = band.split_columns(columns);
                parts.push(part);
                band = rest;
            }
            below = rest;
        }
        parts
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

/// What happens to the values that stand in the place of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    /// They are overwritten.
    Replaced,
    /// The product is added to them.
    Kept,
}

/// `out = scale · a b`, or that added to `out`.
///
/// # Panics
/// If the shapes do not fit.
pub(super) fn product(out: &mut MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, old: Old) {
    assert_eq!((out.rows, out.columns, a.columns), (a.rows, b.columns, b.rows), "a product's shapes");
    a.check();
    b.check();
    let (a_strides, b_strides) = (
        (a.column_stride as isize, a.row_stride as isize),
        (b.column_stride as isize, b.row_stride as isize),
    );
    let kept = old == Old::Kept;
    // SAFETY: all elements of the factors were checked, those of `out` are its own, and nothing else can see them.
    unsafe {
        gemm(
            out.rows,
            out.columns,
            a.columns,
            out.first,
            1,
            out.stride as isize,
            kept,
            a.values.as_ptr(),
            a_strides.0,
            a_strides.1,
            b.values.as_ptr(),
            b_strides.0,
            b_strides.1,
            if kept { 1.0 } else { 0.0 },
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out = a b` on all threads, with the same bits for any number of them.
///
/// The longer side of the result is divided, so that the factor which every thread reads as a whole is the smaller one.
pub(super) fn wide_product<B: Host>(out: MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>) {
    let by_rows = out.rows >= out.columns;
    let length = out.rows.max(out.columns);
    let count = B::threads().min(length / PART).max(1);
    let length = length.div_ceil(count).next_multiple_of(16);
    let mut parts = Vec::with_capacity(count);
    let (mut rest, mut start) = (out, 0);
    loop {
        let left = if by_rows { rest.rows } else { rest.columns };
        if left == 0 {
            break;
        }
        let taken = length.min(left);
        let (part, others) = if by_rows { rest.split_rows(taken) } else { rest.split_columns(taken) };
        parts.push((part, start..start + taken));
        (rest, start) = (others, start + taken);
    }
    each::<B, _>(parts, |(mut part, range)| {
        let (a, b) = if by_rows { (a.rows(range), b) } else { (a, b.columns(range)) };
        product(&mut part, a, b, 1.0, Old::Replaced);
    });
}
