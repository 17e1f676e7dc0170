//! Shapes of convolutions with square kernels.

use crate::ops::cpu::simd::{LANES, Lanes};

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

    /// Weights from the inputs of a block and some taps to sixteen outputs from `first` on, `[tap, input, 16 outputs]`; 0 past the
    /// last channel. They are read row by row.
    pub(super) fn block(&self, first: usize, block: usize, taps: &[usize], to: &mut [Lanes]) {
        let depth = self.depth();
        let inputs = block * depth..((block + 1) * depth).min(self.ins);
        let outs = first..(first + LANES).min(self.outs);
        if outs.len() < LANES || inputs.len() < depth {
            to.fill(Lanes::default());
        }
        if self.turned {
            for (c, input) in inputs.enumerate() {
                let row = &self.values[(input * self.outs + first) * self.taps..][..outs.len() * self.taps];
                for (tap, to) in taps.iter().zip(to.chunks_exact_mut(depth)) {
                    let values = row[self.taps - 1 - tap..].iter().step_by(self.taps);
                    to[c].0.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
                }
            }
        } else {
            for (o, out) in outs.enumerate() {
                let row =
                    &self.values[(out * self.ins + inputs.start) * self.taps..][..inputs.len() * self.taps];
                for (tap, to) in taps.iter().zip(to.chunks_exact_mut(depth)) {
                    let values = row[*tap..].iter().step_by(self.taps);
                    to.iter_mut().zip(values).for_each(|(to, value)| to.0[o] = *value);
                }
            }
        }
    }
}
