use std::io::Cursor;

use image::ImageFormat;
use tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult, Limits},
};

use super::{Budget, DecodeError, by_image, new_image};
use crate::Image;

/// Reads floating-point grey, which the `image` crate does not, and leaves the other kinds to it.
pub(super) fn decode(bytes: &[u8], budget: Budget) -> Result<Image, DecodeError> {
    let left = usize::try_from(budget.left()).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = left;
    limits.intermediate_buffer_size = left;
    limits.ifd_value_size = left;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(invalid)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(invalid)?;
    let (width, height) = (width as usize, height as usize);
    match decoder.colortype().map_err(invalid)? {
        ColorType::Gray(bits @ (32 | 64)) => {
            budget.check(width, height, u64::from(bits) / 8 + 3)?;
            new_image(width, height, float_grey(&mut decoder)?, "TIFF")
        }
        _ => by_image(bytes, ImageFormat::Tiff, "TIFF", budget),
    }
}

fn float_grey(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Vec<u8>, DecodeError> {
    let grey = |value: f64| [(255.0 * value.clamp(0.0, 1.0)).round() as u8; 3];
    match decoder.read_image().map_err(invalid)? {
        DecodingResult::F32(samples) => Ok(samples.into_iter().flat_map(|v| grey(v.into())).collect()),
        DecodingResult::F64(samples) => Ok(samples.into_iter().flat_map(grey).collect()),
        _ => {
            let reason = "grey integers of more than 16 bits are not read".into();
            Err(DecodeError::Invalid { format: "TIFF", reason })
        }
    }
}

fn invalid(error: TiffError) -> DecodeError {
    DecodeError::Invalid { format: "TIFF", reason: error.to_string() }
}
