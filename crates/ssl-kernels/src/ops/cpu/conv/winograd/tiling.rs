//! How images are cut into the tiles of Winograd's convolution.

use super::scheme::{M, N};
use crate::ops::cpu::simd::Lanes;

/// Approximate number of tiles in a group of images: enough to reuse a panel of weights, few enough for a cache.
const GROUP: usize = 64;

/// The place of a pixel outside of the image.
const OUTSIDE: u32 = u32::MAX;

/// What a tile reads outside of the image.
static ZERO: Lanes = Lanes([0.0; 16]);

/// How an image is cut into tiles.
pub(super) struct Tiling {
    /// Pixels of the input and of the output.
    pub(super) pixels: [usize; 2],
    /// The inputs of every tile.
    inputs: Vec<Square<N>>,
    /// The outputs of every tile.
    outputs: Vec<Square<M>>,
}

/// The pixels of a square.
struct Square<const S: usize> {
    places: [[u32; S]; S],
    /// The first one and the width of the image, if the whole square is inside.
    inside: Option<[usize; 2]>,
}

impl Tiling {
    /// # Panics
    /// If an image has 2³² pixels.
    pub(super) fn new(input: [usize; 2], output: [usize; 2], padding: usize) -> Self {
        let pixels = [input, output].map(|[height, width]| height * width);
        assert!(pixels.iter().all(|&pixels| pixels < OUTSIDE as usize), "convolution: {pixels:?} pixels");
        let tiles = output.map(|size| size.div_ceil(M));
        let corners = (0..tiles[0] * tiles[1]).map(|tile| [tile / tiles[1] * M, tile % tiles[1] * M]);
        Self {
            pixels,
            inputs: corners.clone().map(|corner| Square::new(corner, padding, input)).collect(),
            outputs: corners.map(|corner| Square::new(corner, 0, output)).collect(),
        }
    }

    pub(super) fn tiles_per_image(&self) -> usize {
        self.outputs.len()
    }

    /// Images per group, chosen so that several threads have work.
    pub(super) fn images_per_group(&self, images: usize) -> usize {
        let enough = GROUP.div_ceil(self.tiles_per_image());
        enough.min(images.div_ceil(4)).max(1)
    }

    /// The inputs of a tile of an image.
    #[inline(always)]
    pub(super) fn inputs<'a>(&self, tile: usize, image: &'a [Lanes]) -> [[&'a Lanes; N]; N] {
        self.inputs[tile].read(image)
    }

    /// The outputs of a tile of an image.
    #[inline(always)]
    pub(super) fn outputs<'a>(&self, tile: usize, image: &'a [Lanes]) -> [[&'a Lanes; M]; M] {
        self.outputs[tile].read(image)
    }

    /// The places of the outputs of a tile in an image.
    #[inline(always)]
    pub(super) fn places<'a>(&'a self, tile: usize, image: &'a mut [Lanes]) -> Places<'a> {
        Places { square: &self.outputs[tile], image }
    }
}

/// Where the outputs of a tile go.
pub(super) struct Places<'a> {
    square: &'a Square<M>,
    image: &'a mut [Lanes],
}

impl Places<'_> {
    /// Nothing outside of the image.
    #[inline(always)]
    pub(super) fn get(&mut self, row: usize, column: usize) -> Option<&mut Lanes> {
        let place = match self.square.inside {
            Some([first, width]) => first + row * width + column,
            None => self.square.places[row][column] as usize,
        };
        self.image.get_mut(place)
    }
}

impl<const S: usize> Square<S> {
    fn new(corner: [usize; 2], padding: usize, [height, width]: [usize; 2]) -> Self {
        let mut places = [[OUTSIDE; S]; S];
        let mut all = true;
        for (i, row) in places.iter_mut().enumerate() {
            for (j, place) in row.iter_mut().enumerate() {
                let [y, x] = [corner[0] + i, corner[1] + j];
                let inside =
                    (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
                if inside {
                    *place = ((y - padding) * width + x - padding) as u32;
                }
                all &= inside;
            }
        }
        let inside = all.then_some([places[0][0] as usize, width]);
        Self { places, inside }
    }

    #[inline(always)]
    fn read<'a>(&self, image: &'a [Lanes]) -> [[&'a Lanes; S]; S] {
        let mut pixels = [[&ZERO; S]; S];
        if let Some([first, width]) = self.inside {
            for i in 0..S {
                let row = &image[first + i * width..][..S];
                for j in 0..S {
                    pixels[i][j] = &row[j];
                }
            }
        } else {
            for i in 0..S {
                for j in 0..S {
                    pixels[i][j] = image.get(self.places[i][j] as usize).unwrap_or(&ZERO);
                }
            }
        }
        pixels
    }
}
