use crate::image::Image;
use crate::ops::{self, CropBox, Interleaved, Interpolation, Normalization};
use crate::views::ViewError;
use crate::views::error::check_normalization;
use crate::views::pipeline::{Scratch, central_square, with_shorter_side};

/// The one view of an image that evaluation uses: shorter side resized, centre cropped, normalised.
///
/// An image that already has the target size is only normalised.
#[derive(Clone, Debug)]
pub struct EvalTransform {
    size: usize,
    resize: usize,
    interpolation: Interpolation,
    normalization: Normalization,
}

impl EvalTransform {
    /// For views of `size` by `size` pixels.
    ///
    /// The shorter side is resized to 8/7 of `size`, bilinearly: 256 for 224, the field's convention for ImageNet.
    ///
    /// # Errors
    /// If `size` is 0, or a standard deviation is not above 0.
    pub fn new(size: usize, normalization: Normalization) -> Result<Self, ViewError> {
        if size == 0 {
            return Err(ViewError::Size { at: "evaluation".into() });
        }
        check_normalization(&normalization)?;
        Ok(Self { size, resize: size * 8 / 7, interpolation: Interpolation::Bilinear, normalization })
    }

    /// Resizes the shorter side to `resize` pixels (raised to the view's size) with another filter.
    pub fn with_resize(mut self, resize: usize, interpolation: Interpolation) -> Self {
        (self.resize, self.interpolation) = (resize.max(self.size), interpolation);
        self
    }

    /// Width and height of the view in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Writes the view of `image` to `out`: normalised values, `[3, size, size]`.
    ///
    /// # Panics
    /// If `out` is not `3 · size · size` long.
    pub fn render(&self, image: &Image, scratch: &mut Scratch, out: &mut [f32]) {
        self.draw(image, scratch);
        ops::normalize(&scratch.planes, &self.normalization, out);
    }

    /// The view of `image` before normalisation.
    pub fn render_image(&self, image: &Image, scratch: &mut Scratch) -> Image {
        self.draw(image, scratch);
        scratch.planes.to_image()
    }

    fn draw(&self, image: &Image, scratch: &mut Scratch) {
        let (width, height) = (image.width(), image.height());
        let Scratch { planes, resizer, interleaved, .. } = scratch;
        if (width, height) == (self.size, self.size) {
            planes.load(width, height, image.pixels());
            return;
        }
        let source = Interleaved::new(width, height, image.pixels());
        let (width, height) = with_shorter_side(width, height, self.resize);
        let whole = CropBox::whole(image.width(), image.height());
        resizer.resize(source, whole, height, width, self.interpolation, interleaved);
        let resized = Interleaved::new(width, height, interleaved);
        let centre = central_square(width, height, self.size);
        resizer.resized_crop_of(resized, centre, self.size, self.size, self.interpolation, planes);
    }
}
