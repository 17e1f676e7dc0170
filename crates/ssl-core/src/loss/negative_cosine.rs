//! Negative cosine similarity.

use burn::tensor::Tensor;

use crate::assert_shape;
use crate::math::l2_normalize;

/// Mean over rows of the negative cosine between `a` and `b`; no gradient flows into `b`.
///
/// ```text
/// L = −mean over rows i of ⟨a_i, b_i⟩ / (max(‖a_i‖, eps) · max(‖b_i‖, eps))
/// ```
///
/// # Shapes
/// - `a`, `b`: `[row, dim]`
/// - returns: `[1]`, −1 when all pairs point the same way
///
/// # Panics
/// If the two shapes differ.
///
/// # Source
/// Chen & He 2021, eq. 1, <https://arxiv.org/abs/2011.10566>.
pub fn negative_cosine(a: Tensor<2>, b: Tensor<2>, eps: f64) -> Tensor<1> {
    let [row, dim] = a.dims();
    assert_shape!(b, [row, dim]);
    (l2_normalize(a, eps) * l2_normalize(b.detach(), eps)).sum_dim(1).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn the_second_side_gets_no_gradient() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let a = Tensor::<2>::from_floats([[1.0, 2.0]], &device).require_grad();
        let b = Tensor::<2>::from_floats([[2.0, 1.0]], &device).require_grad();
        let grads = negative_cosine(a.clone(), b.clone(), 1e-8).backward();
        assert!(a.grad(&grads).is_some() && b.grad(&grads).is_none());
    }
}
