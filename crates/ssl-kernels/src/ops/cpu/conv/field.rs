//! Images padded with the zeros that taps may reach.

use super::geometry::Geometry;

/// A padded, packed image.
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

    /// An image without padding.
    pub(super) fn dense(image: [usize; 2]) -> Self {
        Self::new(image, 0, image)
    }

    fn new(image: [usize; 2], before: usize, [height, width]: [usize; 2]) -> Self {
        let pixels = 0..image[0] * image[1];
        let at = pixels.map(|p| (p / image[1] + before) * width + p % image[1] + before).collect();
        Self { at, width, area: height * width }
    }
}
