//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use ssl_kernels::ops::{self, Maps};

use crate::{Init, Precision};

/// Configuration of a [`Conv2d`].
#[derive(Clone, Debug)]
pub struct Conv2dConfig {
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride on both axes, 1 by default.
    pub stride: usize,
    /// Zeros added on every side, 0 by default.
    pub padding: usize,
    /// Whether a bias is added, `false` by default: in the networks here a batch norm follows.
    pub bias: bool,
}

impl Conv2dConfig {
    /// Creates a convolution with stride 1, no padding and no bias.
    pub fn new(channels_in: usize, channels_out: usize, kernel: usize) -> Self {
        Self { channels_in, channels_out, kernel, stride: 1, padding: 0, bias: false }
    }

    /// Sets the stride.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the padding.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// Sets whether a bias is added.
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Creates a convolution with He-normal weights, `std = sqrt(2 / (channels_out · kernel²))`, and zero bias.
    ///
    /// # Source
    /// torchvision `resnet.py`: `kaiming_normal_(mode="fan_out", nonlinearity="relu")`.
    pub fn init(&self, init: &mut Init) -> Conv2d {
        let fan_out = self.channels_out * self.kernel * self.kernel;
        let shape = [self.channels_out, self.channels_in, self.kernel, self.kernel];
        Conv2d {
            weight: init.normal(shape, (2.0 / fan_out as f64).sqrt()),
            bias: self.bias.then(|| init.constant([self.channels_out], 0.0)),
            stride: self.stride,
            padding: self.padding,
            precision: init.precision(),
        }
    }
}

/// Two-dimensional convolution with PyTorch's layout, `weight`: `[channel_out, channel_in, kernel, kernel]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    #[module(skip)]
    precision: Precision,
}

impl Conv2d {
    /// Channels of the output.
    pub fn channels_out(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Applies the convolution.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel_in, height, width]`
    /// - returns: `[batch, channel_out, (height + 2·padding − kernel) / stride + 1, …]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let (images, weight) = (self.precision.rounded(images), self.precision.rounded(self.weight.val()));
        let bias = self.bias.as_ref().map(|bias| self.precision.rounded(bias.val()));
        self.precision.restored(ops::conv2d(images, weight, bias, self.stride, self.padding))
    }

    /// Applies the convolution to feature maps, in their layout.
    pub fn forward_maps(&self, maps: Maps) -> Maps {
        match self.is_plain() {
            true => maps.conv2d(self.weight.val(), self.stride, self.padding),
            false => self.forward(maps.into_planes()).into(),
        }
    }

    /// Whether it is the operation on maps: float32, without a bias.
    fn is_plain(&self) -> bool {
        self.precision == Precision::F32 && self.bias.is_none()
    }

    /// The convolution and what `normalise` does to it in one operation, where the backend has it.
    pub(super) fn forward_normalised(
        &self,
        normalise: impl FnOnce(Tensor<4>, [usize; 2]) -> Option<Maps>,
    ) -> Option<Maps> {
        if self.is_plain() { normalise(self.weight.val(), [self.stride, self.padding]) } else { None }
    }
}
