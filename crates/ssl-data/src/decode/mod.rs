//! The bytes of an image file to RGB at 8 bits a channel.

mod jpeg;
mod tiff;

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use thiserror::Error;

use crate::Image;

/// Images with more pixels than this are not decoded.
///
/// Twice the `MAX_IMAGE_PIXELS` of Pillow, where its check against decompression bombs raises an error.
pub const MAX_PIXELS: usize = 2 * 89_478_485;

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
    match image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)? {
        ImageFormat::Jpeg => jpeg::decode(bytes),
        ImageFormat::Tiff => tiff::decode(bytes),
        ImageFormat::Png => by_image(bytes, ImageFormat::Png, "PNG"),
        ImageFormat::WebP => by_image(bytes, ImageFormat::WebP, "WebP"),
        ImageFormat::Bmp => by_image(bytes, ImageFormat::Bmp, "BMP"),
        ImageFormat::Pnm => by_image(bytes, ImageFormat::Pnm, "PPM or PGM"),
        _ => Err(DecodeError::UnknownFormat),
    }
}

fn by_image(bytes: &[u8], format: ImageFormat, name: &'static str) -> Result<Image, DecodeError> {
    let invalid = |error: image::ImageError| DecodeError::Invalid { format: name, reason: error.to_string() };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.no_limits(); // The check below replaces them.
    let decoder = reader.into_decoder().map_err(invalid)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let rgb = DynamicImage::from_decoder(decoder).map_err(invalid)?.into_rgb8();
    new_image(width as usize, height as usize, rgb.into_raw(), name)
}

fn check_size(width: usize, height: usize) -> Result<(), DecodeError> {
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    Ok(())
}

fn new_image(width: usize, height: usize, rgb: Vec<u8>, format: &'static str) -> Result<Image, DecodeError> {
    if width == 0 || height == 0 || rgb.len() != 3 * width * height {
        let reason = format!("{} bytes for {width} x {height} RGB pixels", rgb.len());
        return Err(DecodeError::Invalid { format, reason });
    }
    Ok(Image::new(width, height, rgb))
}
