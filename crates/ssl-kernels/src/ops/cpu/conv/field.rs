//! Images with the zeros around them that taps may reach.

use super::geometry::Geometry;

/// A packed image: its pixels among zeros.
pub(super) struct Field {
    /// Where the pixels of the image are.
    pub(super) at: Vec<usize>,
    pub(super) width: usize,
    /// Pixels with the zeros.
    pub(super) area: usize,
}

impl Field {
    pub(super) fn of_images(g: &Geometry) -> Self {
        Self::new(g.input, g.padding, [0, 1].map(|axis| g.input[axis] + 2 * g.padding))
    }

    /// Gradients with as many zeros before them as taps may reach, and as many behind.
    pub(super) fn of_gradients(g: &Geometry) -> Self {
        let before = (g.kernel - 1) / g.stride;
        let reach = |axis: usize| (g.input[axis] - 1 + g.padding) / g.stride + 1;
        Self::new(g.output, before, [0, 1].map(|axis| before + reach(axis).max(g.output[axis])))
    }

    /// An image without zeros around it.
    pub(super) fn dense(image: [usize; 2]) -> Self {
        Self::new(image, 0, image)
    }

    fn new(image: [usize; 2], before: usize, [height, width]: [usize; 2]) -> Self {
        let pixels = 0..image[0] * image[1];
        let at = pixels.map(|p| (p / image[1] + before) * width + p % image[1] + before).collect();
        Self { at, width, area: height * width }
    }
}
