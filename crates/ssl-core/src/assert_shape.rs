/// Panics unless a tensor has the expected shape. The message names the axes by the variables that hold their lengths.
///
/// ```should_panic
/// # use burn::tensor::Tensor;
/// # use ssl_core::{DeviceSpec, assert_shape};
/// # let device = DeviceSpec::Flex.open().unwrap();
/// # let (z1, z2) = (Tensor::<2>::ones([4, 8], &device), Tensor::<2>::ones([4, 3], &device));
/// let [batch, dim] = z1.dims();
/// assert_shape!(z2, [batch, dim]); // z2 has shape [4, 3], expected [batch, dim] = [4, 8]
/// ```
#[macro_export]
macro_rules! assert_shape {
    ($tensor:expr, [$($axis:expr),+ $(,)?]) => {{
        let (found, expected) = ($tensor.dims(), [$($axis),+]);
        assert!(
            found == expected,
            "{} has shape {found:?}, expected [{}] = {expected:?}",
            stringify!($tensor),
            [$(stringify!($axis)),+].join(", "),
        );
    }};
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use crate::DeviceSpec;

    fn scores() -> Tensor<2> {
        Tensor::ones([4, 3], &DeviceSpec::Flex.open().expect("flex is compiled in"))
    }

    #[test]
    fn the_expected_shape_passes() {
        let (batch, scores) = (4, scores());
        assert_shape!(scores, [batch, 3]);
    }

    #[test]
    #[should_panic(expected = "scores has shape [4, 3], expected [batch, class + 1] = [4, 4]")]
    fn another_shape_is_named_with_its_axes() {
        let (batch, class, scores) = (4, 3, scores());
        assert_shape!(scores, [batch, class + 1]);
    }
}
