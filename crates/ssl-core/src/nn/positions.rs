//! Position embeddings: sines and cosines, and embeddings for images of other sizes.

use burn::module::{Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use crate::Init;

/// Coefficient of the cubic kernel (PyTorch's bicubic interpolation).
const A: f64 = -0.75;
/// Added to the numbers of rows and columns before computing the scale (official code of arXiv:2104.14294, to guard against
/// rounding down).
const OFFSET: f64 = 0.1;

/// Whether sines and cosines of the column or of the row of a patch come first in its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisOrder {
    /// Column, then row: official `pos_embed.py` of arXiv:2111.06377 and `tensors.py` of arXiv:2301.08243.
    ColumnRow,
    /// Row, then column: official `vits.py` of arXiv:2104.02057.
    RowColumn,
}

/// Sines and cosines of the column `x` and the row `y` of every patch.
///
/// ```text
/// [sin xω, cos xω, sin yω, cos yω],   ω_k = 10000^(−k / (dim / 4)),   k = 0 … dim / 4 − 1
/// ```
///
/// # Shapes
/// - returns: `[1, class_tokens + side², dim]`; the rows of class tokens are 0
///
/// # Panics
/// If `dim` is not a multiple of 4.
///
/// # Source
/// Vaswani et al. 2017, section 3.5, <https://arxiv.org/abs/1706.03762>, for each axis; the official code of
/// <https://arxiv.org/abs/2111.06377> and <https://arxiv.org/abs/2104.02057>, which differ in [`AxisOrder`].
pub fn sine_cosine_positions(side: usize, dim: usize, class_tokens: usize, order: AxisOrder) -> TensorData {
    assert!(
        dim.is_multiple_of(4),
        "sines and cosines in two dimensions need a multiple of 4 values, got {dim}"
    );
    let frequency = |index: usize| 10_000_f64.powf(-(index as f64) / (dim / 4) as f64);
    let mut values = vec![0.0; class_tokens * dim];
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        let axes = match order {
            AxisOrder::ColumnRow => [column, row],
            AxisOrder::RowColumn => [row, column],
        };
        for position in axes {
            let angles = || (0..dim / 4).map(|index| position as f64 * frequency(index));
            values.extend(angles().map(|angle| angle.sin() as f32));
            values.extend(angles().map(|angle| angle.cos() as f32));
        }
    }
    TensorData::new(values, [1, class_tokens + side * side, dim])
}

/// [`sine_cosine_positions`] as a parameter that no optimizer trains: it has no gradient.
///
/// # Panics
/// As [`sine_cosine_positions`].
pub fn fixed_positions(
    side: usize,
    dim: usize,
    class_tokens: usize,
    order: AxisOrder,
    init: &Init,
) -> Param<Tensor<3>> {
    let values = sine_cosine_positions(side, dim, class_tokens, order);
    Param::initialized(ParamId::new(), Tensor::from_data(values, init.device()))
}

/// The position embedding for a grid of patches: unchanged for its own grid, otherwise resized.
///
/// # Shapes
/// As [`resize_pos_embed`].
///
/// # Panics
/// As [`resize_pos_embed`].
///
/// # Source
/// Official `vision_transformer.py` of arXiv:2104.14294, `interpolate_pos_encoding`, which leaves its own grid unchanged.
pub fn pos_embed_for(pos_embed: Tensor<3>, grid: [usize; 2]) -> Tensor<3> {
    let (_, side) = parts(&pos_embed);
    if grid == [side, side] { pos_embed } else { resize_pos_embed(pos_embed, grid) }
}

/// Resizes a position embedding to a grid of patches; the entry of the class token, if there is one, is kept.
///
/// ```text
/// source = (i + 0.5) · n_in / (n_out + 0.1) − 0.5 on each axis; cubic kernel with a = −0.75, border repeated
/// ```
///
/// Resizing is a product with a matrix from the host, so that it has a gradient on every backend. The embedding's own
/// grid is interpolated like any other, with the offset of 0.1, and so changes a little.
///
/// # Shapes
/// - `pos_embed`: `[1, 1 + side², dim]`, or `[1, side², dim]` without a class token
/// - `grid`: numbers of rows and columns
/// - returns: `[1, 1 + rows · columns, dim]`, or without the 1
///
/// # Panics
/// If the embedding is not for a square of patches, with or without a class token.
///
/// # Source
/// Official `vision_transformer.py` of arXiv:2104.14294, `interpolate_pos_encoding`.
pub fn resize_pos_embed(pos_embed: Tensor<3>, grid: [usize; 2]) -> Tensor<3> {
    let [_, tokens, dim] = pos_embed.dims();
    let (class_tokens, side) = parts(&pos_embed);
    let [rows, columns] = grid;
    let matrix = kronecker(&resize_matrix(side, rows), &resize_matrix(side, columns));
    let matrix = TensorData::new(matrix, [rows * columns, side * side]);
    let matrix = Tensor::<2>::from_data(matrix, &pos_embed.device().inner());

    let patches = pos_embed.clone().slice_dim(1, class_tokens..tokens).reshape([side * side, dim]);
    let patches = matrix.matmul(patches).reshape([1, rows * columns, dim]);
    match class_tokens {
        0 => patches,
        _ => Tensor::cat(vec![pos_embed.slice_dim(1, 0..class_tokens), patches], 1),
    }
}

/// Of a sequence of `tokens`, the number of class tokens, 0 or 1, and the side of the square of patches; `None` if the patches
/// are no square. No two square numbers are consecutive (from 1 on), so the length is enough to tell.
pub fn square_of(tokens: usize) -> Option<(usize, usize)> {
    let squares = [(0, tokens.isqrt()), (1, tokens.saturating_sub(1).isqrt())];
    squares.into_iter().find(|(class_tokens, side)| *side > 0 && class_tokens + side * side == tokens)
}

/// The [`square_of`] a position embedding.
fn parts(pos_embed: &Tensor<3>) -> (usize, usize) {
    let [_, tokens, _] = pos_embed.dims();
    square_of(tokens).unwrap_or_else(|| {
        panic!("a position embedding of {tokens} tokens is not square, with or without a class token")
    })
}

/// One row of weights over the `n_in` given positions for each of the `n_out` new ones.
fn resize_matrix(n_in: usize, n_out: usize) -> Vec<Vec<f64>> {
    let scale = (n_out as f64 + OFFSET) / n_in as f64;
    let row = |index: usize| {
        let source = (index as f64 + 0.5) / scale - 0.5;
        let first = source.floor() - 1.0;
        let mut row = vec![0.0; n_in];
        for tap in 0..4 {
            let position = first + f64::from(tap);
            let inside = position.clamp(0.0, n_in as f64 - 1.0) as usize;
            row[inside] += cubic(source - position);
        }
        row
    };
    (0..n_out).map(row).collect()
}

/// Keys' cubic kernel.
fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

/// The matrix that resizes rows and columns at once, row-major.
fn kronecker(rows: &[Vec<f64>], columns: &[Vec<f64>]) -> Vec<f32> {
    let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    pairs
        .flat_map(|(row, column)| row.iter().flat_map(|&r| column.iter().map(move |&c| (r * c) as f32)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn positions_are_distinct_and_the_class_token_has_none() {
        let rows = |order| -> Vec<Vec<f32>> {
            let values: Vec<f32> = sine_cosine_positions(3, 8, 1, order).iter().collect();
            values.chunks(8).map(<[f32]>::to_vec).collect()
        };
        let (by_row, by_column) = (rows(AxisOrder::RowColumn), rows(AxisOrder::ColumnRow));
        assert_eq!(by_row.len(), 10);
        assert_eq!(by_row[0], [0.0; 8]);
        // Row 0, column 0: the sines are 0 and the cosines 1.
        assert_eq!(by_row[1], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        // Column 1 of the same row differs only in the half of the columns.
        let column = [1_f64.sin(), 0.01_f64.sin(), 1_f64.cos(), 0.01_f64.cos()].map(|v| v as f32);
        assert_eq!((&by_row[2][..4], &by_row[2][4..]), (&by_row[1][..4], &column[..]));
        assert_eq!((&by_column[2][..4], &by_column[2][4..]), (&column[..], &by_column[1][4..]));
    }

    #[test]
    fn fixed_positions_have_no_gradient() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let fixed = fixed_positions(2, 4, 0, AxisOrder::ColumnRow, &Init::new(0, &device));
        assert!(fixed.val().is_autodiff() && !fixed.val().is_require_grad());
        assert_eq!(fixed.val().into_data(), sine_cosine_positions(2, 4, 0, AxisOrder::ColumnRow));
    }

    #[test]
    fn weights_of_a_position_sum_to_one() {
        for (n_in, n_out) in [(14, 6), (4, 9), (3, 3), (1, 2)] {
            for row in resize_matrix(n_in, n_out) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{n_in} to {n_out}: {row:?}");
            }
        }
    }

    #[test]
    fn an_embedding_on_its_own_grid_stays_exactly_as_it_is() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let pos_embed = Tensor::<1, burn::tensor::Int>::arange(0..30, &device).float().reshape([1, 10, 3]);
        assert_eq!(pos_embed_for(pos_embed.clone(), [3, 3]).into_data(), pos_embed.clone().into_data());
        let patches = pos_embed.slice_dim(1, 1..10);
        assert_eq!(pos_embed_for(patches.clone(), [3, 3]).into_data(), patches.into_data());
    }

    #[test]
    fn patches_are_resized_alike_with_and_without_a_class_token() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let pos_embed =
            Tensor::<1, burn::tensor::Int>::arange(0..30, &device).float().sin().reshape([1, 10, 3]);
        let whole = resize_pos_embed(pos_embed.clone(), [2, 5]);
        let patches = resize_pos_embed(pos_embed.clone().slice_dim(1, 1..10), [2, 5]);
        assert_eq!(whole.dims(), [1, 11, 3]);
        assert_eq!(whole.clone().slice_dim(1, 0..1).into_data(), pos_embed.slice_dim(1, 0..1).into_data());
        assert_eq!(whole.slice_dim(1, 1..11).into_data(), patches.into_data());
    }

    #[test]
    #[should_panic(expected = "of 8 tokens is not square, with or without a class token")]
    fn an_embedding_of_no_square_is_refused() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        resize_pos_embed(Tensor::zeros([1, 8, 3], &device), [2, 2]);
    }
}
