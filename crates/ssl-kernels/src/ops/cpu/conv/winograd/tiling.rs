//! How images are cut into the tiles of Winograd's convolution.

use super::scheme::M;

/// Approximate number of tiles in a group of images: enough to reuse a panel of weights, few enough for a cache.
const GROUP: usize = 64;

/// How an image is cut into tiles.
pub(super) struct Tiling {
    /// Tiles along the height and the width.
    pub(super) tiles: [usize; 2],
    /// Width of the packed input.
    pub(super) width: usize,
    /// Pixels of the packed input.
    pub(super) area: usize,
    /// Positions of the input's pixels in the packed input.
    pub(super) input_at: Vec<usize>,
    /// Width of the packed output.
    pub(super) output_width: usize,
    /// Positions of the output's pixels in the packed output.
    pub(super) output_at: Vec<usize>,
}

impl Tiling {
    pub(super) fn new(input: [usize; 2], output: [usize; 2], padding: usize) -> Self {
        let tiles = output.map(|size| size.div_ceil(M));
        let reach = |axis: usize| (tiles[axis] * M + 2).max(input[axis] + padding);
        let width = reach(1);
        let output_width = tiles[1] * M;
        let at = |size: [usize; 2], offset: usize, width: usize| {
            (0..size[0] * size[1]).map(|p| (p / size[1] + offset) * width + p % size[1] + offset).collect()
        };
        Self {
            tiles,
            width,
            area: width * reach(0),
            input_at: at(input, padding, width),
            output_width,
            output_at: at(output, 0, output_width),
        }
    }

    pub(super) fn tiles_per_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// Images per group, chosen so that several threads have work.
    pub(super) fn images_per_group(&self, images: usize) -> usize {
        let enough = GROUP.div_ceil(self.tiles_per_image());
        enough.min(images.div_ceil(4)).max(1)
    }
}
