//! Pictures inside of a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, Rgb, RgbImage};

use crate::Error;

/// A picture as a `data:` URI of at most about `bytes` bytes: a JPEG, of lower quality and then smaller until it fits.
///
/// # Errors
/// If it cannot be encoded.
pub fn data_uri(picture: &RgbImage, bytes: usize) -> Result<String, Error> {
    let mut picture = picture.clone();
    loop {
        for quality in [88, 75, 60] {
            let encoded = jpeg(&picture, quality)?;
            if encoded.len() * 4 / 3 <= bytes || (quality == 60 && picture.width().max(picture.height()) < 64)
            {
                return Ok(uri(&encoded));
            }
        }
        let (width, height) = (picture.width() * 3 / 4, picture.height() * 3 / 4);
        picture = imageops::resize(&picture, width.max(1), height.max(1), FilterType::Triangle);
    }
}

pub(crate) fn jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

pub(crate) fn uri(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))
}

/// The middle of a picture as a square of `side` pixels, as networks see it in evaluation.
pub fn squared(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let edge = width.min(height).max(1);
    let middle = imageops::crop_imm(picture, (width - edge) / 2, (height - edge) / 2, edge, edge).to_image();
    enlarged(&middle, side)
}

/// A picture at another size: pixels stay visible where it grows much, and are averaged where it shrinks.
pub fn enlarged(picture: &RgbImage, side: u32) -> RgbImage {
    if picture.dimensions() == (side, side) {
        return picture.clone();
    }
    let filter = if side > 2 * picture.width() { FilterType::Nearest } else { FilterType::Triangle };
    imageops::resize(picture, side, side, filter)
}

/// A map of values as colours over a picture in grey: dark blue for the smallest, yellow for the largest.
///
/// # Panics
/// If there are not `columns * rows` values.
pub fn heat(values: &[f32], [rows, columns]: [usize; 2], over: &RgbImage) -> RgbImage {
    assert_eq!(values.len(), rows * columns, "a value for each place");
    let map = |colour: fn(f32) -> [u8; 3]| {
        let colours = scaled(values).map(colour);
        place_colours(colours, rows, columns, over.width())
    };
    let colours = map(viridis);
    let mut drawn = over.clone();
    for (x, y, pixel) in drawn.enumerate_pixels_mut() {
        let [red, green, blue] = pixel.0.map(f32::from);
        let grey = 0.3 * red + 0.59 * green + 0.11 * blue;
        let colour = colours.get_pixel(x, y).0.map(f32::from);
        pixel.0 = colour.map(|value| (0.7 * value + 0.3 * grey) as u8);
    }
    drawn
}

/// A picture whose red, green and blue are the first three of the values of each place, which may have fewer.
///
/// # Panics
/// If there are not `columns * rows` places.
pub fn coloured(places: &[Vec<f32>], [rows, columns]: [usize; 2], side: u32) -> RgbImage {
    assert_eq!(places.len(), rows * columns, "values for each place");
    let channel = |channel: usize| {
        let values: Vec<f32> =
            places.iter().map(|place| place.get(channel).copied().unwrap_or(0.0)).collect();
        scaled(&values).map(|value| (255.0 * value) as u8).collect::<Vec<_>>()
    };
    let channels = [channel(0), channel(1), channel(2)];
    let colours = (0..places.len()).map(|place| channels.each_ref().map(|values| values[place]));
    place_colours(colours, rows, columns, side)
}

/// Values from 0 for the smallest to 1 for the largest; all 0.5 if they are the same.
fn scaled(values: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let range = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
    values.iter().map(move |value| if range > 0.0 { (value - low) / range } else { 0.5 })
}

fn place_colours(colours: impl Iterator<Item = [u8; 3]>, rows: usize, columns: usize, side: u32) -> RgbImage {
    let mut small = RgbImage::new(columns as u32, rows as u32);
    small.pixels_mut().zip(colours).for_each(|(pixel, colour)| *pixel = Rgb(colour));
    imageops::resize(&small, side, side, FilterType::Triangle)
}

/// The colour map viridis by its values at 0, 1/4 ... 1.
fn viridis(value: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] = [
        [68.0, 1.0, 84.0],
        [59.0, 82.0, 139.0],
        [33.0, 145.0, 140.0],
        [94.0, 201.0, 98.0],
        [253.0, 231.0, 37.0],
    ];
    let at = value.clamp(0.0, 1.0) * 4.0;
    let stop = (at as usize).min(3);
    let part = at - stop as f32;
    [0, 1, 2].map(|channel| {
        (STOPS[stop][channel] + part * (STOPS[stop + 1][channel] - STOPS[stop][channel])) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let value = (x * 7919 + y * 104_729 + x * y * 31) as u8;
            Rgb([value, value.wrapping_mul(3), value.wrapping_mul(7)])
        })
    }

    #[test]
    fn a_large_picture_is_made_to_fit() {
        let uri = data_uri(&noise(500), 20_000).expect("encodable");
        assert!(uri.starts_with("data:image/jpeg;base64,") && uri.len() < 20_100, "{}", uri.len());
        assert!(data_uri(&noise(8), 0).expect("as small as it gets").len() > 100);
    }

    #[test]
    fn the_largest_value_is_yellow_and_the_smallest_is_dark() {
        let drawn = heat(&[0.0, 0.0, 0.0, 9.0], [2, 2], &RgbImage::new(32, 32));
        let [dark, bright] = [drawn.get_pixel(1, 1).0, drawn.get_pixel(30, 30).0];
        assert!(bright[0] > 150 && bright[1] > 140 && dark[1] < 20, "{dark:?} {bright:?}");
        let even = heat(&[2.0; 4], [2, 2], &RgbImage::new(8, 8));
        assert!(even.pixels().all(|pixel| pixel == even.get_pixel(0, 0)));
    }

    #[test]
    fn places_have_the_colours_of_their_values() {
        let places = [vec![0.0, 0.0, 1.0], vec![1.0, 0.0, 1.0], vec![0.0, 1.0, 0.0], vec![0.0]];
        let drawn = coloured(&places, [2, 2], 2);
        assert_eq!(drawn.get_pixel(1, 0).0, [255, 0, 255]);
        assert_eq!(drawn.get_pixel(0, 1).0, [0, 255, 0]);
    }

    #[test]
    fn a_square_is_the_middle() {
        let wide = RgbImage::from_fn(30, 10, |x, _| Rgb([if (10..20).contains(&x) { 200 } else { 0 }; 3]));
        assert!(squared(&wide, 10).pixels().all(|pixel| pixel.0[0] == 200));
    }
}
