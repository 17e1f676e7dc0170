//! Copies of matrices with rows and columns exchanged.
//!
//! A product reads its second factor row by row, sixteen columns at a time. Where the columns are contiguous instead, `gemm` collects
//! these value by value, for every job again.

use super::Host;
use super::matrix::Matrix;
use super::parallel::each;
use super::pool::{Pooled, any_values};

/// Rows and columns of a tile, which stays in the nearest cache.
const TILE: usize = 16;

/// The values of the transpose of a matrix with contiguous rows, row by row.
pub(super) fn transposed<B: Host>(matrix: Matrix<'_>) -> Pooled {
    let Matrix { rows, columns, .. } = matrix;
    let mut values = any_values(rows * columns);
    each::<B, _>(values.chunks_mut(TILE * rows.max(1)).enumerate(), |(band, values)| {
        let first = band * TILE;
        for row in (0..rows).step_by(TILE) {
            for (column, values) in (first..columns).zip(values.chunks_exact_mut(rows)) {
                for (row, value) in (row..rows).zip(&mut values[row..]).take(TILE) {
                    *value = matrix.values[row * matrix.row_stride + column];
                }
            }
        }
    });
    values.into()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn_flex::Flex;

    #[test]
    fn rows_become_columns_whatever_their_number() {
        for (rows, columns) in [(1, 1), (1, 40), (40, 1), (16, 16), (17, 35), (50, 33)] {
            let values: Vec<f32> = (0..rows * columns).map(|place| place as f32).collect();
            let found = transposed::<Flex>(Matrix::new(&values, columns));
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(found[column * rows + row], values[row * columns + column]);
                }
            }
        }
    }
}
