//! Images padded with the zeros that taps may reach.

use super::geometry::Geometry;
use crate::ops::cpu::simd::Lanes;

/// A padded image.
pub(super) struct Field {
    /// The positions of the image's pixels.
    pub(super) at: Vec<usize>,
    pub(super) width: usize,
    /// Number of pixels, padding included.
    pub(super) area: usize,
}

impl Field {
    pub(super) fn of_images(g: &Geometry) -> Self {
        Self::new(g.input, g.padding, [0, 1].map(|axis| g.input[axis] + 2 * g.padding))
    }

    /// Gradients padded on both sides with as many zeros as taps may reach.
    pub(super) fn of_gradients(g: &Geometry) -> Self {
        let before = (g.kernel - 1) / g.stride;
        let reach = |axis: usize| (g.input[axis] - 1 + g.padding) / g.stride + 1;
        Self::new(g.output, before, [0, 1].map(|axis| before + reach(axis).max(g.output[axis])))
    }

    /// Whether there is no padding, so that an image can be read where it is.
    pub(super) fn is_dense(&self) -> bool {
        self.area == self.at.len()
    }

    /// Copies an image, block by block, into padding that is there already.
    pub(super) fn fill(&self, image: &[Lanes], padded: &mut [Lanes]) {
        let blocks = image.chunks_exact(self.at.len()).zip(padded.chunks_exact_mut(self.area));
        for (block, padded) in blocks {
            for (pixel, at) in block.iter().zip(&self.at) {
                padded[*at] = *pixel;
            }
        }
    }

    fn new(image: [usize; 2], before: usize, [height, width]: [usize; 2]) -> Self {
        let pixels = 0..image[0] * image[1];
        let at = pixels.map(|p| (p / image[1] + before) * width + p % image[1] + before).collect();
        Self { at, width, area: height * width }
    }
}
