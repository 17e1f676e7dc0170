//! How images are cut into the tiles of Winograd's convolution.

use std::ops::Range;

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
    /// Rows and columns of tiles.
    rows: usize,
    columns: usize,
    /// Width of the output.
    width: usize,
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
            rows: tiles[0],
            columns: tiles[1],
            width: output[1],
            inputs: corners.clone().map(|corner| Square::new(corner, padding, input)).collect(),
            outputs: corners.map(|corner| Square::new(corner, 0, output)).collect(),
        }
    }

    pub(super) fn tiles_per_image(&self) -> usize {
        self.outputs.len()
    }

    /// `images` images in bands of about `most` tiles.
    pub(super) fn bands(&self, images: usize, most: usize) -> impl Iterator<Item = Band> + Clone + use<> {
        let per_image = self.tiles_per_image();
        let whole = (most / per_image).max(1);
        let rows = if most >= per_image { self.rows } else { (most / self.columns).max(1) };
        let (columns, last_row) = (self.columns, self.rows);
        (0..images).step_by(whole).flat_map(move |first| {
            (0..last_row).step_by(rows).map(move |row| Band {
                images: first..images.min(first + whole),
                tiles: row * columns..last_row.min(row + rows) * columns,
            })
        })
    }

    /// The pixels that some rows of tiles of an image put out.
    pub(super) fn outputs_of(&self, tiles: &Range<usize>) -> Range<usize> {
        let row_of_pixels = |tile: usize| tile / self.columns * M * self.width;
        row_of_pixels(tiles.start)..row_of_pixels(tiles.end).min(self.pixels[1])
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

/// Tiles whose transforms are in a cache together: the same ones, some rows, of one image or all of several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) images: Range<usize>,
    pub(super) tiles: Range<usize>,
}

impl Band {
    pub(super) fn len(&self) -> usize {
        self.images.len() * self.tiles.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_rows_of_one_image_or_all_of_several_and_leave_nothing_out() {
        let tiling = Tiling::new([9, 7], [9, 7], 1);
        let band = |images, tiles| Band { images, tiles };
        let of = |images, most| tiling.bands(images, most).collect::<Vec<_>>();
        assert_eq!(tiling.tiles_per_image(), 20);
        assert_eq!(of(3, 41), [band(0..2, 0..20), band(2..3, 0..20)]);
        assert_eq!(of(1, 11), [band(0..1, 0..8), band(0..1, 8..16), band(0..1, 16..20)]);
        assert_eq!(of(2, 1).iter().map(Band::len).sum::<usize>(), 40);
        let pixels = of(1, 11).iter().map(|band| tiling.outputs_of(&band.tiles)).collect::<Vec<_>>();
        assert_eq!(pixels, [0..28, 28..56, 56..63]);
    }
}
