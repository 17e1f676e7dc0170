//! Smooth L1 distance.

use burn::tensor::Tensor;

/// Smooth L1 distance with β = 1, averaged over all elements.
///
/// ```text
/// d = |x − target|
/// L = mean of (d² / 2 if d < 1, otherwise d − 1/2)
/// ```
///
/// The target gets a gradient too, unless it is detached.
///
/// # Shapes
/// - `x`, `target`: of one shape
/// - returns: `[1]`
///
/// # Source
/// Girshick 2015, eq. 3, <https://arxiv.org/abs/1504.08083>; PyTorch's `smooth_l1_loss`.
pub fn smooth_l1<const D: usize>(x: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    let distance = (x - target).abs();
    // Below 1, half of the square; above, the distance less a half: both are c · (d − c / 2) with c = min(d, 1).
    let capped = distance.clone().clamp_max(1.0);
    (capped.clone() * (distance - capped.mul_scalar(0.5))).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn near_values_cost_half_of_the_square_and_far_ones_their_distance_less_a_half() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let value = |x: f32| -> f32 {
            smooth_l1(Tensor::<1>::from_floats([x], &device), Tensor::zeros([1], &device)).into_scalar()
        };
        assert_eq!([0.0, 0.5, -0.5, 1.0, 3.0].map(value), [0.0, 0.125, 0.125, 0.5, 2.5]);
    }
}
