//! Matrix products, by the crate `gemm`: of any strides.

#![allow(unsafe_code)] // it takes pointers

use burn::backend::tensor::FloatTensor;
use gemm::{Parallelism, gemm};

use super::matrix::{Matrix, MatrixMut};
use super::parallel::each;
use super::pool::any_values;
use super::{Host, tensor};

/// Fewest rows or columns of a part that is worth a thread.
const PART: usize = 80;
/// The most values of a result that `gemm` adds up in another order than larger ones, as it does where both sides are at most 64,
/// fewer than [`PART`]. No part of a larger result may be that small: the result would depend on the number of threads.
const SMALL: usize = 256;
/// Fewest rows or columns of a thread's share from which some are left to whichever thread is free first. Every part packs a
/// whole factor.
const UNEVEN: usize = 512;

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

/// `out = a b` on all threads, or that added to `out`, with the same bits for any number of them.
///
/// The longer side of the result is divided, so that the factor which every thread reads as a whole is the smaller one.
pub(super) fn wide_product<B: Host>(out: MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, old: Old) {
    let by_rows = out.rows >= out.columns;
    let least = PART.max(SMALL / out.rows.min(out.columns).max(1) + 1);
    let lengths = lengths(out.rows.max(out.columns), least, B::threads());
    let mut parts = Vec::with_capacity(lengths.len());
    let (mut rest, mut start) = (out, 0);
    for length in lengths {
        let (part, others) = if by_rows { rest.split_rows(length) } else { rest.split_columns(length) };
        parts.push((part, start..start + length));
        (rest, start) = (others, start + length);
    }
    each::<B, _>(parts, |(mut part, range)| {
        let (a, b) = if by_rows { (a.rows(range), b) } else { (a, b.columns(range)) };
        product(&mut part, a, b, 1.0, old);
    });
}

/// `aᵀ b`, the sum of the outer products of all rows: the gradient of a layer's weight.
pub(super) fn over_rows<B: Host>(a: Matrix<'_>, b: Matrix<'_>) -> FloatTensor<B> {
    let mut values = any_values(a.columns * b.columns);
    if a.rows == 0 {
        values.fill(0.0);
    } else {
        wide_product::<B>(MatrixMut::new(&mut values, b.columns), a.transposed(), b, Old::Replaced);
    }
    tensor::<B>(values, [a.columns, b.columns])
}

/// The lengths of the parts, none below `least`: for each thread one, or a long one and two short ones that another thread may
/// take.
fn lengths(total: usize, least: usize, threads: usize) -> Vec<usize> {
    let count = threads.min(total / least).max(1);
    let share = total.div_ceil(count).next_multiple_of(16);
    let short = (share / 8).next_multiple_of(16).max(least);
    let mut lengths = Vec::new();
    let mut left = total;
    while left > 0 {
        // Nothing shorter than a part stays behind.
        let taken = if left < share + least { left } else { share };
        match count > 1 && taken >= UNEVEN.max(2 * short + least) {
            true => lengths.extend([taken - 2 * short, short, short]),
            false => lengths.push(taken),
        }
        left -= taken;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_long_enough_and_fill_the_whole() {
        for total in (1..700).chain([1000, 3152, 50_432]) {
            for (threads, least) in
                [1, 2, 3, 7, 64].into_iter().flat_map(|threads| [(threads, PART), (threads, 257)])
            {
                let lengths = lengths(total, least, threads);
                assert_eq!(lengths.iter().sum::<usize>(), total);
                assert!(
                    lengths.len() == 1 || lengths.iter().all(|length| (least..total).contains(length)),
                    "{lengths:?}"
                );
                let enough = threads.min(total / (2 * least));
                assert!(lengths.len() >= enough, "{total} on {threads}: {lengths:?}");
            }
        }
        assert_eq!(lengths(3152, PART, 2), [1168, 208, 208, 1152, 208, 208]);
    }

    #[test]
    #[should_panic(expected = "a product's shapes")]
    fn a_product_of_other_shapes_is_refused() {
        let values = [0.0; 6];
        let matrix = Matrix::new(&values, 3);
        product(&mut MatrixMut::new(&mut [0.0; 4], 2), matrix, matrix, 1.0, Old::Replaced);
    }
}
