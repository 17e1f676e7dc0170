use multiversion::multiversion;

use crate::image::Image;

/// An image as three planes, red, green, blue: `[3, height, width]`, 8 bits a value.
///
/// Operations work on planes because neighbouring bytes then belong to one channel and vector units can use them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Planes {
    /// The planes of `image`.
    pub fn from_image(image: &Image) -> Self {
        let mut planes = Self::default();
        planes.load(image.width(), image.height(), image.pixels());
        planes
    }

    /// The interleaved image.
    ///
    /// # Panics
    /// If these planes are still empty (`Planes::default()`).
    pub fn to_image(&self) -> Image {
        let mut pixels = Vec::new();
        self.store(&mut pixels);
        Image::new(self.width, self.height, pixels)
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, `[3, height, width]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The values, `[3, height, width]`, to change in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The red, the green and the blue plane, `[height, width]` each.
    pub fn channels_mut(&mut self) -> [&mut [u8]; 3] {
        let (red, rest) = self.pixels.split_at_mut(self.width * self.height);
        let (green, blue) = rest.split_at_mut(self.width * self.height);
        [red, green, blue]
    }

    /// Changes the size; what the planes then hold is unspecified.
    pub(crate) fn reshape(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.pixels.resize(3 * width * height, 0);
    }

    /// Replaces everything by interleaved pixels `[height, width, 3]`.
    pub(crate) fn load(&mut self, width: usize, height: usize, interleaved: &[u8]) {
        self.reshape(width, height);
        let [red, green, blue] = self.channels_mut();
        deinterleave(interleaved, red, green, blue);
    }

    /// Writes interleaved pixels `[height, width, 3]`, replacing what `interleaved` held.
    pub(crate) fn store(&self, interleaved: &mut Vec<u8>) {
        interleaved.resize(self.pixels.len(), 0);
        let (red, rest) = self.pixels.split_at(self.width * self.height);
        let (green, blue) = rest.split_at(self.width * self.height);
        for (pixel, ((&r, &g), &b)) in interleaved.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
            pixel.copy_from_slice(&[r, g, b]);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn deinterleave(interleaved: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    let planes = red.iter_mut().zip(green).zip(blue);
    for (pixel, ((r, g), b)) in interleaved.chunks_exact(3).zip(planes) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
}

#[cfg(test)]
mod tests {
    use super::Planes;
    use crate::image::Image;

    #[test]
    fn planes_are_channel_major_and_come_back_interleaved() {
        let image = Image::new(2, 2, (0..12).collect());
        let planes = Planes::from_image(&image);
        assert_eq!(planes.pixels(), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert_eq!(planes.to_image(), image);
    }
}
