use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use super::{Budget, DecodeError, new_image};
use crate::Image;

/// Of RGB.
const BYTES_PER_PIXEL: u64 = 3;
/// Of each channel of a progressive file, whose coefficients are all there before the first pixel is.
const BYTES_PER_COEFFICIENT: u64 = 2;
/// Channels fill blocks of 8 pixels, of which up to four lie side by side.
const LARGEST_UNIT: usize = 32;

pub(super) fn decode(bytes: &[u8], budget: Budget) -> Result<Image, DecodeError> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| invalid(&error))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    let channels = decoder.info().map_or(0, |info| u64::from(info.components));
    budget.check(width, height, BYTES_PER_PIXEL)?;
    let [padded_width, padded_height] = [width, height].map(|size| size.next_multiple_of(LARGEST_UNIT));
    let coefficients = (padded_width * padded_height) as u64 * BYTES_PER_COEFFICIENT * channels;
    budget.check_bytes(coefficients + BYTES_PER_PIXEL * (width * height) as u64)?;
    if !is_whole(bytes) {
        return Err(DecodeError::Invalid { format: "JPEG", reason: "it breaks off".into() });
    }
    let rgb = decoder.decode().map_err(|error| invalid(&error))?;
    new_image(width, height, rgb, "JPEG")
}

/// Whether the end-of-image marker is there.
///
/// The decoder fills what is missing with grey, and notices it in strict mode only if a row of blocks or more is
/// missing. So the segments are walked here: after a marker with a length its segment is skipped (it may hold a
/// thumbnail with its own end marker), in the scans the search goes from one 0xFF to the next.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
        at += offset + 1;
        match bytes.get(at) {
            Some(0xD9) => return true,
            // A stuffed or filling byte, the start of the image, or a restart: no segment follows.
            None | Some(0x00 | 0x01 | 0xD0..=0xD8 | 0xFF) => {}
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    false
}

fn invalid(error: &DecodeErrors) -> DecodeError {
    DecodeError::Invalid { format: "JPEG", reason: error.to_string() }
}
