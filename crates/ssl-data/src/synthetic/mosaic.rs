//! Rendered images of two patterns, with the pattern of every pixel: for dense evaluation.

use std::sync::Arc;

use super::{Synthetic, pattern::Pattern, scene::TwoCloths};
use crate::{DataError, Dataset, DatasetOptions, Generator, Image, ImageSource, ReadError, SampleKey};

/// Images of two of the patterns of [`Synthetic`], side by side along a wavy line, and for every pixel which pattern it is of.
///
/// Only features of a place tell the pattern there: an image as a whole has two. Each pattern has its own colours, scale and turn.
///
/// Image `index` depends on `(seed, index)` and the size alone.
///
/// # Example
/// ```
/// use ssl_data::Mosaic;
///
/// let images = Mosaic::new(0, 200, 32);
/// let mask = images.mask(12);
/// assert_eq!(mask.len(), 32 * 32);
/// assert!(mask.contains(&2), "a part of image 12 is of pattern 2");
/// ```
///
/// # Source
/// Our own, after the texture mosaics that texture segmentation is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mosaic {
    seed: u64,
    len: usize,
    size: usize,
}

impl Mosaic {
    /// `len` images of `size` x `size` pixels.
    ///
    /// # Panics
    /// If `len` or `size` is 0.
    pub fn new(seed: u64, len: usize, size: usize) -> Self {
        assert!(len > 0 && size > 0, "{len} images of {size} pixels, expected at least 1 of 1");
        Self { seed, len, size }
    }

    /// Number of images, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Width and height of an image in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Renders image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> Image {
        let mut generator = self.generator(index);
        let (_, scene) = self.scene(index, &mut generator);
        Image::new(self.size, self.size, scene.render(self.size, &mut generator))
    }

    /// The pattern of every pixel of image `index`, row by row: a label of [`Synthetic::CLASS_NAMES`].
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn mask(&self, index: usize) -> Vec<u8> {
        let ([first, second], scene) = self.scene(index, &mut self.generator(index));
        scene.sides(self.size).map(|is_second| if is_second { second } else { first }).collect()
    }

    /// The images as a [`Dataset`] without labels.
    ///
    /// # Errors
    /// None that a set of this kind could have.
    pub fn dataset(self) -> Result<Dataset, DataError> {
        Dataset::from_source(Box::new(self), None, None, &DatasetOptions::default())
    }

    /// The labels of both sides, and the scene. The first sides take turns, and the second are any other.
    fn scene(&self, index: usize, generator: &mut Generator) -> ([u8; 2], TwoCloths) {
        assert!(index < self.len, "image {index} of {}", self.len);
        let classes = Pattern::ALL.len();
        let first = index % classes;
        let second = (first + 1 + generator.below(classes - 1)) % classes;
        let scene = TwoCloths::draw([first, second].map(|label| Pattern::ALL[label]), generator);
        ([first, second].map(|label| label as u8), scene)
    }

    fn generator(&self, index: usize) -> Generator {
        // Neither a run nor `Synthetic` reaches this epoch.
        SampleKey { seed: self.seed, epoch: u64::MAX - 1, sample: index as u64 }.generator(0, 0)
    }
}

impl ImageSource for Mosaic {
    fn count(&self) -> usize {
        self.len
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        Ok(Arc::new(Self::image(self, index)))
    }

    fn name(&self, index: usize) -> String {
        let first = Synthetic::CLASS_NAMES[index % Synthetic::CLASS_NAMES.len()];
        format!("rendered image {index} ({first} and another pattern)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_and_its_mask_depend_on_seed_and_index_alone() {
        let images = Mosaic::new(7, 30, 16);
        assert_eq!(images.image(21), Mosaic::new(7, 1000, 16).image(21));
        assert_eq!(images.mask(21), Mosaic::new(7, 1000, 16).mask(21));
        assert_ne!(images.image(21), images.image(11));
        assert_ne!(images.image(21), Mosaic::new(8, 30, 16).image(21));
    }

    #[test]
    fn every_mask_has_two_patterns_and_both_are_large() {
        let images = Mosaic::new(0, 100, 32);
        let mut seen = [0usize; 10];
        for index in 0..images.len() {
            let mask = images.mask(index);
            let count = |label: u8| mask.iter().filter(|&&pixel| pixel == label).count();
            let large: Vec<u8> = (0..10).filter(|&label| count(label) > 0).collect();
            assert_eq!(large.len(), 2, "image {index}: {large:?}");
            assert!(large.iter().all(|&label| count(label) > 32 * 32 / 5), "image {index}");
            assert!(large.contains(&((index % 10) as u8)));
            large.iter().for_each(|&label| seen[label as usize] += 1);
        }
        assert!(seen.iter().all(|&images| images >= 12), "{seen:?}");
    }

    #[test]
    fn the_two_sides_look_different() {
        // The mean colour changes at the line, in nearly every image.
        let images = Mosaic::new(1, 50, 32);
        let apart = |index: usize| {
            let (image, mask) = (images.image(index), images.mask(index));
            let first = (index % 10) as u8;
            let mean = |side: bool| {
                let pixels = image.pixels().chunks_exact(3).zip(&mask);
                let of_side: Vec<f32> = pixels
                    .filter(|&(_, &label)| (label == first) == side)
                    .map(|(pixel, _)| f32::from(pixel[0]) + f32::from(pixel[1]) + f32::from(pixel[2]))
                    .collect();
                of_side.iter().sum::<f32>() / of_side.len() as f32
            };
            (mean(true) - mean(false)).abs() > 6.0
        };
        assert!((0..50).filter(|&index| apart(index)).count() > 40);
    }
}
