//! The bytes of an image file to RGB at 8 bits a channel.

mod budget;
mod jpeg;
mod tiff;

use std::io::Cursor;

use image::{
    ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits,
    codecs::png::PngDecoder,
};
use thiserror::Error;

use crate::Image;

use budget::Budget;
pub use budget::MAX_IMAGE_BYTES;
pub(crate) use budget::WAY_OUT;

/// Images with more pixels than this are not decoded.
///
/// Twice the `MAX_IMAGE_PIXELS` of Pillow, where its check against decompression bombs raises an error.
pub const MAX_PIXELS: usize = 2 * 89_478_485;

/// Bytes of profiles, texts and lines that a PNG may unpack beside its pixels (our choice: colour profiles take a few
/// megabytes at most, a bomb of 2 MB unpacks to 2 GB).
const MAX_PNG_EXTRAS: u64 = 64 << 20;

/// Why bytes are no image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first bytes are those of no format that is read.
    #[error("it is not a JPEG, PNG, WebP, BMP, TIFF, PPM or PGM file")]
    UnknownFormat,
    /// The header promises too many pixels, see [`MAX_PIXELS`].
    #[error("it has {width} x {height} pixels, more than the {MAX_PIXELS} that are decoded")]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// Decoding would take more memory than allowed, see [`MAX_IMAGE_BYTES`].
    #[error("decoding it takes {needed} bytes, more than the {allowed} allowed: {WAY_OUT}")]
    TooMuchMemory {
        /// Bytes of the file, of its pixels before and after conversion to RGB, and of what the decoder needs beside them.
        needed: u64,
        /// Bytes allowed.
        allowed: usize,
    },
    /// The file is cut off, damaged, or of a variant that is not read.
    #[error("it is not a readable {format} file: {reason}")]
    Invalid {
        /// Name of the format.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
}

/// Decodes a JPEG, PNG, WebP, BMP, TIFF, PPM or PGM file, told apart by its first bytes.
///
/// Every image becomes RGB at 8 bits a channel, as Pillow's `convert("RGB")` does it unless noted:
///
/// - grey is copied to the three channels, a palette is looked up (TIFF with a palette is not read);
/// - alpha is dropped, not composited: torchvision's `ImageFolder` does the same, and so a pixel means here
///   what it means to the encoders trained there;
/// - CMYK becomes `(255 − C)(255 − K) / 255` and so on, without colour profiles; a JPEG with four channels is
///   taken to be stored inverted, as Adobe writes it;
/// - 16 bits become `round(v / 257)`, so that white stays white (Pillow takes the high byte of RGB and clips
///   grey at 255);
/// - floating-point samples are clamped to `[0, 1]` and become `round(255 · v)` (Pillow: clamped to
///   `[0, 255]`);
/// - the orientation noted in EXIF and the colour profile are ignored;
/// - of several pages or frames the first is read.
///
/// A JPEG without its end-of-image marker is an error, because it breaks off. One that has it and breaks the
/// standard in between is decoded as far as that goes, as libjpeg does.
///
/// # Errors
/// See [`DecodeError`].
///
/// # Example
/// ```
/// let grey = b"P5 2 1 255 \x00\xff";
/// let image = ssl_data::decode(grey)?;
/// assert_eq!(image.pixels(), [0, 0, 0, 255, 255, 255]);
/// # Ok::<(), ssl_data::DecodeError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    decode_within(bytes, MAX_IMAGE_BYTES)
}

/// [`decode`] with at most `max_bytes` bytes of memory: the file, its pixels, the same as RGB, and what the decoder needs
/// beside them.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_within(bytes: &[u8], max_bytes: usize) -> Result<Image, DecodeError> {
    let budget = Budget::new(bytes, max_bytes);
    match image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)? {
        ImageFormat::Jpeg => jpeg::decode(bytes, budget),
        ImageFormat::Tiff => tiff::decode(bytes, budget),
        ImageFormat::Png => png(bytes, budget),
        ImageFormat::WebP => by_image(bytes, ImageFormat::WebP, "WebP", budget),
        ImageFormat::Bmp => by_image(bytes, ImageFormat::Bmp, "BMP", budget),
        ImageFormat::Pnm => by_image(bytes, ImageFormat::Pnm, "PPM or PGM", budget),
        _ => Err(DecodeError::UnknownFormat),
    }
}

fn png(bytes: &[u8], budget: Budget) -> Result<Image, DecodeError> {
    let decoder = png_decoder(bytes, budget)
        .map_err(|error| DecodeError::Invalid { format: "PNG", reason: error.to_string() })?;
    to_rgb(decoder, "PNG", budget, png_extras(budget))
}

/// The decoder unpacks a colour profile when it is made, so it needs its limit then. It passes over a larger profile.
fn png_decoder(bytes: &[u8], budget: Budget) -> ImageResult<PngDecoder<Cursor<&[u8]>>> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(png_extras(budget));
    PngDecoder::with_limits(Cursor::new(bytes), limits)
}

fn png_extras(budget: Budget) -> u64 {
    MAX_PNG_EXTRAS.min(budget.left() / 16)
}

fn by_image(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    budget: Budget,
) -> Result<Image, DecodeError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(budget.left());
    reader.limits(limits);
    let decoder = reader
        .into_decoder()
        .map_err(|error| DecodeError::Invalid { format: name, reason: error.to_string() })?;
    let (width, height) = decoder.dimensions();
    let extras = match format {
        // A canvas and a frame in RGBA, or what transforms and brightness take.
        ImageFormat::WebP => 8 * u64::from(width) * u64::from(height),
        // The samples as the file has them, of which CMYK has four for three.
        ImageFormat::Tiff => decoder.total_bytes().saturating_mul(3) / 2,
        _ => 0,
    };
    to_rgb(decoder, name, budget, extras)
}

/// The pixels as RGB; the decoder needs `extras` bytes beside them.
fn to_rgb(
    decoder: impl ImageDecoder,
    format: &'static str,
    budget: Budget,
    extras: u64,
) -> Result<Image, DecodeError> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    budget.check(width, height, 0)?;
    let rgb_bytes = match decoder.color_type() {
        ColorType::Rgb8 => 0, // No conversion.
        _ => 3 * (width * height) as u64,
    };
    budget.check_bytes(decoder.total_bytes().saturating_add(rgb_bytes).saturating_add(extras))?;
    let rgb = DynamicImage::from_decoder(decoder)
        .map_err(|error| DecodeError::Invalid { format, reason: error.to_string() })?
        .into_rgb8();
    new_image(width, height, rgb.into_raw(), format)
}

fn new_image(width: usize, height: usize, rgb: Vec<u8>, format: &'static str) -> Result<Image, DecodeError> {
    if width == 0 || height == 0 || rgb.len() != 3 * width * height {
        let reason = format!("{} bytes for {width} x {height} RGB pixels", rgb.len());
        return Err(DecodeError::Invalid { format, reason });
    }
    Ok(Image::new(width, height, rgb))
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    use super::{Budget, ImageDecoder, MAX_IMAGE_BYTES, decode, png_decoder};

    fn with_profile(bytes: usize) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = PngEncoder::new(&mut file);
        encoder.set_icc_profile(vec![0; bytes]).expect("PNG has profiles");
        encoder.write_image(&[1, 2, 3], 1, 1, ExtendedColorType::Rgb8).expect("one pixel");
        file
    }

    #[test]
    fn a_colour_profile_that_unpacks_to_much_is_not_unpacked() {
        let profile = |file: &[u8]| {
            png_decoder(file, Budget::new(file, MAX_IMAGE_BYTES))
                .expect("a PNG")
                .icc_profile()
                .expect("readable")
                .map(|p| p.len())
        };
        assert_eq!(profile(&with_profile(1000)), Some(1000));
        let bomb = with_profile(80 << 20);
        assert!(bomb.len() < 1 << 20, "a bomb is small");
        assert_eq!(profile(&bomb), None);
        assert_eq!(decode(&bomb).expect("the pixels are whole").pixels(), [1, 2, 3]);
    }
}
