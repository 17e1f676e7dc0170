//! Small pictures of images, in one.

use image::{RgbImage, imageops};
use serde::Serialize;

use crate::Error;
use crate::picture::{jpeg, squared, uri};
use crate::room;

/// Sides of a thumbnail in pixels and qualities of the JPEG, the best first. Sides are multiples of 16, so that no block of the
/// JPEG has pixels of two thumbnails.
const TRIES: [(u32, u8); 7] = [(64, 85), (64, 70), (64, 55), (48, 65), (48, 50), (32, 60), (16, 60)];

/// Small pictures of images, side by side in one picture, row by row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Thumbnails {
    /// The picture as a `data:` URI.
    pub uri: String,
    /// Thumbnails in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Width and height of a thumbnail in pixels.
    pub side: u32,
}

impl Thumbnails {
    /// Thumbnails of images, in this order, as good as fits into 3.2 MB of text.
    ///
    /// # Errors
    /// If they cannot be encoded.
    pub fn new(images: &[RgbImage]) -> Result<Self, Error> {
        let columns = ((images.len() as f64).sqrt().ceil() as usize).max(1);
        let rows = images.len().div_ceil(columns).max(1);
        let largest = images.iter().map(|image| image.width().min(image.height())).max().unwrap_or(16);
        let tries = TRIES.into_iter().filter(|&(side, _)| side <= largest.next_multiple_of(16));
        let mut found = (Vec::new(), 16);
        for (side, quality) in tries {
            found = (jpeg(&sheet(images, columns, rows, side), quality)?, side);
            if found.0.len() <= room::THUMBNAILS {
                break;
            }
        }
        Ok(Self { uri: uri(&found.0), columns, rows, side: found.1 })
    }

    /// Where a thumbnail is, as the two percentages of CSS's `background-position`.
    pub(crate) fn position(&self, place: usize) -> String {
        let share = |at: usize, count: usize| 100.0 * at as f64 / (count.max(2) - 1) as f64;
        format!(
            "{:.3}% {:.3}%",
            share(place % self.columns, self.columns),
            share(place / self.columns, self.rows)
        )
    }
}

fn sheet(images: &[RgbImage], columns: usize, rows: usize, side: u32) -> RgbImage {
    let mut sheet = RgbImage::new(columns as u32 * side, rows as u32 * side);
    for (place, image) in images.iter().enumerate() {
        let (x, y) = ((place % columns) as u32 * side, (place / columns) as u32 * side);
        imageops::replace(&mut sheet, &squared(image, side), x.into(), y.into());
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn two_thousand_noisy_images_fit() {
        let noise = |seed: u32| {
            RgbImage::from_fn(64, 64, |x, y| {
                let mixed = (x + 64 * y + 4096 * seed).wrapping_mul(2_654_435_761);
                Rgb([(mixed >> 24) as u8, (mixed >> 16) as u8, (mixed >> 8) as u8])
            })
        };
        let images: Vec<_> = (0..2000).map(noise).collect();
        let thumbnails = Thumbnails::new(&images).expect("encodable");
        assert!(thumbnails.uri.len() <= 3_200_100, "{}", thumbnails.uri.len());
        assert_eq!((thumbnails.columns, thumbnails.rows), (45, 45));
    }

    #[test]
    fn small_images_are_not_enlarged_and_have_a_place() {
        let images: Vec<_> = (0..6).map(|shade| RgbImage::from_pixel(32, 32, Rgb([shade * 40; 3]))).collect();
        let thumbnails = Thumbnails::new(&images).expect("encodable");
        assert_eq!((thumbnails.side, thumbnails.columns, thumbnails.rows), (32, 3, 2));
        assert_eq!(thumbnails.position(0), "0.000% 0.000%");
        assert_eq!(thumbnails.position(4), "50.000% 100.000%");
        let one = Thumbnails::new(&images[..1]).expect("encodable");
        assert_eq!(one.position(0), "0.000% 0.000%");
    }
}
