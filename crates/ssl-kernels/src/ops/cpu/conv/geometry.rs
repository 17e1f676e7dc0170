//! Shapes of convolutions with square kernels.

use crate::ops::cpu::simd::LANES;

/// The shape of a convolution with a square kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
}

impl Geometry {
    /// # Panics
    /// If the kernel is larger than the padded image.
    pub(super) fn new(x: [usize; 4], w: [usize; 4], stride: usize, padding: usize) -> Self {
        assert_eq!(x[1], w[1], "convolution: the image has {} channels and the kernel {}", x[1], w[1]);
        let output = |size: usize, kernel: usize| {
            assert!(size + 2 * padding >= kernel, "convolution: kernel {kernel} exceeds image {size}");
            (size + 2 * padding - kernel) / stride + 1
        };
        Self {
            channels_in: x[1],
            channels_out: w[0],
            kernel: w[2],
            stride,
            padding,
            input: [x[2], x[3]],
            output: [output(x[2], w[2]), output(x[3], w[3])],
        }
    }

    /// Pixels per input plane.
    pub(super) fn pixels_in(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Pixels per output plane.
    pub(super) fn pixels_out(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Blocks of sixteen channels of the input and of the output.
    pub(super) fn blocks(&self) -> [usize; 2] {
        [self.channels_in, self.channels_out].map(|channels| channels.div_ceil(LANES))
    }

    /// Packed pixels of an input image.
    pub(super) fn image_in(&self) -> usize {
        self.blocks()[0] * self.pixels_in()
    }

    /// Packed pixels of an output image.
    pub(super) fn image_out(&self) -> usize {
        self.blocks()[1] * self.pixels_out()
    }
}

/// The weights as read by one of the two passes: forward from inputs to outputs, or backward from outputs to inputs
/// with the kernel rotated by 180°.
#[derive(Clone, Copy)]
pub(super) struct Kernel<'a> {
    /// `[channel_out, channel_in, tap]`
    values: &'a [f32],
    /// Channels that the pass writes.
    pub(super) outs: usize,
    /// Channels that the pass reads.
    pub(super) ins: usize,
    pub(super) taps: usize,
    turned: bool,
}

impl<'a> Kernel<'a> {
    pub(super) fn forward(g: &Geometry, values: &'a [f32]) -> Self {
        let taps = g.kernel * g.kernel;
        Self { values, outs: g.channels_out, ins: g.channels_in, taps, turned: false }
    }

    pub(super) fn backward(g: &Geometry, values: &'a [f32]) -> Self {
        let taps = g.kernel * g.kernel;
        Self { values, outs: g.channels_in, ins: g.channels_out, taps, turned: true }
    }

    /// Number of input channels used in a block.
    pub(super) fn depth(&self) -> usize {
        self.ins.min(LANES)
    }

    /// Weights from one input and one tap to sixteen outputs starting at `first`; 0 past the last channel.
    pub(super) fn column(&self, first: usize, input: usize, tap: usize) -> [f32; LANES] {
        let mut column = [0.0; LANES];
        if input < self.ins {
            let (at, step) = if self.turned {
                ((input * self.outs + first) * self.taps + self.taps - 1 - tap, self.taps)
            } else {
                ((first * self.ins + input) * self.taps + tap, self.ins * self.taps)
            };
            let count = LANES.min(self.outs - first);
            let values = self.values[at..].iter().step_by(step);
            column[..count].iter_mut().zip(values).for_each(|(c, v)| *c = *v);
        }
        column
    }
}
