/// A decoded colour image: 8 bits a channel, red, green, blue interleaved, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// Wraps `pixels`, `[height, width, 3]` in row-major order.
    ///
    /// # Panics
    /// If the image has no pixel, or `pixels` is not `3 · width · height` long.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "an image of {width} x {height} pixels, expected at least 1 x 1");
        assert_eq!(pixels.len(), 3 * width * height, "bytes of a {width} x {height} RGB image");
        Self { width, height, pixels }
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, `[height, width, 3]`, without a copy.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    #[should_panic(expected = "bytes of a 2 x 1 RGB image")]
    fn a_wrong_length_panics() {
        let _ = Image::new(2, 1, vec![0; 5]);
    }

    #[test]
    #[should_panic(expected = "at least 1 x 1")]
    fn an_empty_image_panics() {
        let _ = Image::new(0, 3, Vec::new());
    }
}
