//! The Kozachenko-Leonenko estimator of entropy as a loss, which spreads embeddings.

use burn::tensor::{Int, Tensor};

use crate::math::l2_normalize;

/// Smallest norm that a row is divided by, and what is added to differences and to distances.
const EPS: f64 = 1e-8;

/// Added to the similarity of a row to itself, so that it is never its own neighbour: less than that of opposite rows.
const OWN: f64 = -3.0;

/// Minus the mean logarithm of the distance from each embedding to its nearest neighbour: small where embeddings are spread
/// evenly over the sphere.
///
/// ```text
/// L = −mean over rows i of log(‖x_i − x_j(i) + eps‖ + eps),   x of unit length, j(i) the row of largest x_i · x_j, j ≠ i
/// ```
///
/// Gradients go to both rows of a pair.
///
/// # Shapes
/// - `x`: `[row, dim]`, normalised here
/// - returns: `[1]`; finite where rows are equal
///
/// # Panics
/// If there are fewer than two rows.
///
/// # Source
/// Sablayrolles et al. 2018, eq. 2, <https://arxiv.org/abs/1806.03198>; official `koleo_loss.py` of
/// <https://arxiv.org/abs/2304.07193>, whose eps of 1e-8 and their places these are.
pub fn koleo(x: Tensor<2>) -> Tensor<1> {
    let [rows, _] = x.dims();
    assert!(rows > 1, "KoLeo: {rows} row has no neighbour, expected at least 2");
    let x = l2_normalize(x, EPS);
    let nearest = x.clone().select(0, nearest_other(x.clone().without_autodiff()));
    let distances = (x - nearest).add_scalar(EPS).square().sum_dim(1).sqrt();
    distances.add_scalar(EPS).log().mean().neg()
}

/// The index of the nearest other row of each row.
fn nearest_other(x: Tensor<2>) -> Tensor<1, Int> {
    let [rows, _] = x.dims();
    let own = Tensor::<2>::eye(rows, &x.device()).mul_scalar(OWN);
    (x.clone().matmul(x.transpose()) + own).argmax(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::Device;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in").autodiff()
    }

    fn value(x: Tensor<2>) -> f32 {
        koleo(x).into_scalar::<f32>()
    }

    #[test]
    fn it_is_minus_the_mean_log_distance_to_the_nearest_row() {
        // At 0, 90 and 210 degrees: the first two are √2 apart, the third is √3 from both.
        let x = [[2.0, 0.0], [0.0, 3.0], [-(0.75_f32.sqrt()), -0.5]];
        let want = -(2.0_f32.ln() + 3.0_f32.ln() / 2.0) / 3.0;
        assert!((value(Tensor::from_floats(x, &device())) - want).abs() < 1e-6);
    }

    #[test]
    fn opposite_rows_are_neighbours_of_each_other_and_not_of_themselves() {
        let x = Tensor::from_floats([[1.0, 0.0], [-1.0, 0.0]], &device());
        assert!((value(x) + 2.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn descent_pushes_neighbours_apart() {
        let x = Tensor::<2>::from_floats([[1.0, 0.1], [1.0, -0.2], [-1.0, 0.0]], &device()).require_grad();
        let loss = koleo(x.clone());
        let gradient = x.grad(&loss.backward()).expect("a gradient");
        let gradient = Tensor::from_data(gradient.into_data(), &device());
        assert!(value(x.clone() - gradient.mul_scalar(0.01)) < value(x));
    }

    #[test]
    fn equal_rows_give_a_finite_loss() {
        assert!(value(Tensor::ones([3, 4], &device())).is_finite());
    }

    #[test]
    #[should_panic(expected = "KoLeo: 1 row has no neighbour, expected at least 2")]
    fn one_row_is_refused() {
        koleo(Tensor::ones([1, 4], &device()));
    }
}
