//! Matrix products, by the crate `gemm`: of any strides.

#![allow(unsafe_code)] // it takes pointers

use gemm::{Parallelism, gemm};

use super::Host;
use super::matrix::{Matrix, MatrixMut};
use super::parallel::each;

/// Fewest rows or columns of a part that is worth a thread. Smaller matrices may be multiplied in another order of sums, so
/// that the result would depend on the number of threads.
const PART: usize = 128;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a product's shapes")]
    fn a_product_of_other_shapes_is_refused() {
        let values = [0.0; 6];
        let matrix = Matrix::new(&values, 3);
        product(&mut MatrixMut::new(&mut [0.0; 4], 2), matrix, matrix, 1.0, Old::Replaced);
    }
}
