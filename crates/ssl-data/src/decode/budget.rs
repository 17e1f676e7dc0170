use super::{DecodeError, MAX_PIXELS};

/// Bytes that one image may take while it is decoded, its file included, unless
/// [`DatasetOptions`](crate::DatasetOptions::max_image_bytes) says otherwise: 2 GiB.
///
/// The most that an image of [`MAX_PIXELS`] takes are 11 bytes a pixel, as a progressive JPEG of four channels: two for each
/// coefficient, and three for the RGB pixels.
pub const MAX_IMAGE_BYTES: usize = 1 << 31;

/// What to do about an image that takes more memory than allowed. The options of all that opens images have a field of that name.
pub(crate) const WAY_OUT: &str =
    "expected a smaller image, or a larger max_image_bytes (data.max_image_bytes in a recipe)";

/// The memory that one image may take.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    /// Bytes of the file, which is in memory already.
    file: u64,
    allowed: usize,
}

impl Budget {
    pub(super) fn new(file: &[u8], allowed: usize) -> Self {
        Self { file: file.len() as u64, allowed }
    }

    /// Bytes beside the file.
    pub(super) fn left(self) -> u64 {
        (self.allowed as u64).saturating_sub(self.file)
    }

    /// Checks an image of this size that takes `bytes` for each pixel.
    pub(super) fn check(self, width: usize, height: usize, bytes: u64) -> Result<(), DecodeError> {
        if width.saturating_mul(height) > MAX_PIXELS {
            return Err(DecodeError::TooLarge { width, height });
        }
        self.check_bytes(bytes * (width * height) as u64)
    }

    /// Checks that `bytes` fit beside the file.
    pub(super) fn check_bytes(self, bytes: u64) -> Result<(), DecodeError> {
        if bytes > self.left() {
            let needed = bytes.saturating_add(self.file);
            return Err(DecodeError::TooMuchMemory { needed, allowed: self.allowed });
        }
        Ok(())
    }
}
