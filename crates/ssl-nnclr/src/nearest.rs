//! The nearest neighbour of each row among others.

use burn::tensor::Tensor;
use ssl_core::assert_shape;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};

/// Number of similarities held at once: 16 MiB of float32 (our choice, that of `ssl_core::loss::Similarities`).
pub(crate) const BLOCK: usize = 1 << 22;

/// The candidate with the largest cosine to each row, without gradient; of equal ones the first.
///
/// The similarities are computed one block of rows at a time.
///
/// # Shapes
/// - `rows`: `[row, dim]`, `candidates`: `[candidate, dim]`, compared after normalisation
/// - returns: rows of `candidates` as given, `[row, dim]`
///
/// # Panics
/// If the two differ in `dim`.
pub fn nearest(rows: Tensor<2>, candidates: Tensor<2>) -> Tensor<2> {
    nearest_in_blocks(rows, candidates, BLOCK)
}

fn nearest_in_blocks(rows: Tensor<2>, candidates: Tensor<2>, block: usize) -> Tensor<2> {
    let ([count, dim], [candidate, _]) = (rows.dims(), candidates.dims());
    assert_shape!(candidates, [candidate, dim]);
    let (rows, candidates) = (rows.without_autodiff(), candidates.without_autodiff());
    let rows = l2_normalize(rows, NORMALIZE_EPS);
    let directions = l2_normalize(candidates.clone(), NORMALIZE_EPS).transpose();
    let step = (block / candidate.max(1)).max(1);
    let of_block = |start: usize| {
        let rows = rows.clone().narrow(0, start, step.min(count - start));
        rows.matmul(directions.clone()).argmax(1).squeeze_dim::<1>(1)
    };
    let places = (0..count).step_by(step).map(of_block).collect();
    candidates.select(0, Tensor::cat(places, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_testing::oracle::rows;
    use ssl_testing::tensors::{device, of_rows};

    #[test]
    fn the_nearest_is_that_of_the_largest_cosine_whatever_the_lengths() {
        let candidates = Tensor::<2>::from_floats([[9.0, 1.0], [0.1, 0.1], [-5.0, 0.0]], &device());
        let found = nearest(Tensor::from_floats([[1.0, 0.9], [-0.1, 0.01]], &device()), candidates);
        assert_eq!(
            found.into_data(),
            Tensor::<2>::from_floats([[0.1, 0.1], [-5.0, 0.0]], &device()).into_data()
        );
    }

    #[test]
    fn of_equal_candidates_the_first_is_taken() {
        let candidates = Tensor::<2>::from_floats([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]], &device());
        let found = nearest(Tensor::from_floats([[1.0, 0.0]], &device()), candidates);
        assert_eq!(found.into_data(), Tensor::<2>::from_floats([[2.0, 0.0]], &device()).into_data());
    }

    #[test]
    fn blocks_of_any_size_find_the_same() {
        let (queries, candidates) = (of_rows(&rows(7, 4, 1)), of_rows(&rows(11, 4, 2)));
        let whole = nearest(queries.clone(), candidates.clone()).into_data();
        for block in [1, 11, 25, 70] {
            let found = nearest_in_blocks(queries.clone(), candidates.clone(), block);
            assert_eq!(found.into_data(), whole, "{block} similarities at once");
        }
    }

    #[test]
    fn neighbours_carry_no_gradient() {
        let found = nearest(of_rows(&rows(3, 4, 1)), of_rows(&rows(5, 4, 2)));
        assert!(!found.is_autodiff());
    }
}
