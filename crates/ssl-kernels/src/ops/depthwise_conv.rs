//! Depthwise convolution.

use burn::tensor::{Tensor, module, ops::ConvOptions};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// Convolves each channel with a kernel of its own, with stride 1 and zeros around the images, so that they keep their size.
///
/// ```text
/// y[n, i, j, c] = bias[c] + Σ over p, q of weight[c, 0, p, q] · x[n, i + p − r, j + q − r, c],   r = (kernel − 1) / 2
/// ```
///
/// On `flex`, and in float32 on `tch`, forward and backward pass of a 7×7 kernel use our own kernels, which read and write
/// channels-last images as they are. Everything else is Burn's convolution with a group per channel, on channels-first copies.
///
/// # Shapes
/// - `input`: `[batch, height, width, channel]`
/// - `weight`: `[channel, 1, kernel, kernel]`, of an odd size; `bias`: `[channel]`
/// - returns: as `input`
///
/// # Panics
/// If the shapes do not fit, or the size of the kernel is even.
pub fn depthwise_conv2d(input: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    check(input.dims(), weight.dims(), bias.dims());
    #[cfg(any(feature = "flex", feature = "tch"))]
    if weight.dims()[2] == super::cpu::DEPTHWISE_KERNEL
        && let Some(host) = host_of!(input, weight, bias)
    {
        return host.depthwise_conv2d(input, weight, bias);
    }
    portable(input, weight, bias)
}

fn check([.., channels]: [usize; 4], weight: [usize; 4], bias: [usize; 1]) {
    let kernel = weight[2];
    assert_eq!(
        (weight, bias),
        ([channels, 1, kernel, kernel], [channels]),
        "depthwise convolution of {channels} channels: shapes of the weight and the bias"
    );
    assert!(
        kernel % 2 == 1,
        "a depthwise convolution keeps the size of images with an odd kernel, got {kernel}"
    );
}

/// The portable version, with Burn's own operation.
pub(super) fn portable(input: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [channels, _, kernel, _] = weight.dims();
    let options = ConvOptions::new([1; 2], [kernel / 2; 2], [1; 2], channels);
    module::conv2d(input.permute([0, 3, 1, 2]), weight, Some(bias), options).permute([0, 2, 3, 1])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn other_kernels_than_those_of_the_loops_are_burns() {
        // A kernel of one pixel, and one that moves images by a row.
        let device = Device::flex();
        let x = Tensor::<1, burn::tensor::Int>::arange(0..24, &device).float().reshape([1, 4, 3, 2]);
        let [one, shift] = [1, 3].map(|kernel| Tensor::<4>::zeros([2, 1, kernel, kernel], &device));
        let bias = Tensor::from_floats([0.5, -1.0], &device);
        let plus_bias = |x: Tensor<4>| (x + bias.clone().reshape([1, 1, 1, 2])).into_data();
        let y = depthwise_conv2d(x.clone(), one + 1.0, bias.clone());
        y.into_data().assert_approx_eq::<f32>(&plus_bias(x.clone()), Tolerance::default());
        let shift = shift.slice_assign([0..2, 0..1, 0..1, 1..2], Tensor::ones([2, 1, 1, 1], &device));
        let y = depthwise_conv2d(x.clone(), shift, bias.clone()).slice([0..1, 1..4]);
        y.into_data().assert_approx_eq::<f32>(&plus_bias(x.slice([0..1, 0..3])), Tolerance::default());
    }

    #[test]
    #[should_panic(expected = "depthwise convolution of 3 channels: shapes of the weight and the bias")]
    fn a_weight_of_other_channels_is_refused() {
        let device = Device::flex();
        let weight = Tensor::zeros([2, 1, 7, 7], &device);
        depthwise_conv2d(Tensor::zeros([1, 4, 4, 3], &device), weight, Tensor::zeros([3], &device));
    }

    #[test]
    #[should_panic(expected = "with an odd kernel, got 4")]
    fn an_even_kernel_is_refused() {
        let device = Device::flex();
        let weight = Tensor::zeros([3, 1, 4, 4], &device);
        depthwise_conv2d(Tensor::zeros([1, 4, 4, 3], &device), weight, Tensor::zeros([3], &device));
    }
}
