//! The number format that large products are computed in.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// The number format that convolutions and linear layers compute in.
///
/// Parameters, gradients, optimizer, teacher, batch norm and losses are always float32: a layer rounds its input and
/// its weights, and returns float32. bfloat16 has the range of float32, so gradients need no scaling.
///
/// # Source
/// Micikevicius et al. 2018, section 3.1 (a master copy of the weights), <https://arxiv.org/abs/1710.03740>; which layers:
/// PyTorch's `torch.autocast`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// float32.
    #[default]
    F32,
    /// bfloat16, with 8 bits of precision.
    Bf16,
}

crate::names!(Precision: "precision" { F32 = "f32", Bf16 = "bf16" });

impl Precision {
    /// Checks whether the device can compute in this format.
    ///
    /// # Errors
    /// If it cannot, or can only store such numbers.
    pub fn check(self, device: &Device) -> Result<(), ConfigError> {
        self.check_that(device.supports_dtype(DType::BF16))
    }

    fn check_that(self, has_bf16: bool) -> Result<(), ConfigError> {
        let fits = has_bf16 || self == Self::F32;
        ConfigError::check(fits, "precision", "bf16", "f32: this device does not compute in bfloat16")
    }

    /// Rounds an operand of a product; layers round their input and their parameters.
    pub fn rounded<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => tensor,
            Self::Bf16 => tensor.cast(FloatDType::BF16),
        }
    }

    /// Converts the product back to float32.
    pub fn restored<const D: usize>(self, product: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => product,
            Self::Bf16 => product.cast(FloatDType::F32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Conv2dConfig, LinearConfig};
    use crate::{DeviceSpec, Init};
    use burn::tensor::{Int, Tolerance};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in").autodiff()
    }

    fn images() -> Tensor<4> {
        Tensor::<1, Int>::arange(0..2 * 3 * 6 * 6, &device().inner()).float().sin().reshape([2, 3, 6, 6])
    }

    /// Output and gradient of a convolution followed by a linear layer.
    fn run(precision: Precision) -> (Tensor<2>, Tensor<2>) {
        let mut init = Init::new(0, &device()).with_precision(precision);
        let conv = Conv2dConfig::new(3, 4, 3).with_bias(true).init(&mut init);
        let linear = LinearConfig::new(64, 5).init(&mut init);
        let output = linear.forward(conv.forward(images()).reshape([2, 64]));
        let gradients = output.clone().square().sum().backward();
        let gradient = linear.weight.val().grad(&gradients).expect("a parameter");
        (output.without_autodiff(), gradient)
    }

    #[test]
    fn layers_give_float32_with_the_error_of_bfloat16() {
        let ((output, gradient), (want, want_gradient)) = (run(Precision::Bf16), run(Precision::F32));
        assert_eq!((output.dtype(), gradient.dtype()), (DType::F32, DType::F32));
        assert_ne!(output.to_data(), want.to_data());
        let tolerance = Tolerance::absolute(2e-2);
        output.into_data().assert_approx_eq::<f32>(&want.into_data(), tolerance);
        gradient.into_data().assert_approx_eq::<f32>(&want_gradient.into_data(), tolerance);
    }

    #[test]
    fn a_device_without_it_is_told_what_to_expect() {
        let error = Precision::Bf16.check_that(false).expect_err("no bfloat16").to_string();
        assert_eq!(error, "precision is bf16, expected f32: this device does not compute in bfloat16");
        assert!(Precision::F32.check_that(false).is_ok() && Precision::Bf16.check(&device()).is_ok());
    }
}
