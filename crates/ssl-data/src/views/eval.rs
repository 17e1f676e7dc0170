use crate::image::Image;
use crate::ops::{self, CropBox, Interleaved, Interpolation, Normalization, Place};
use crate::views::ViewError;
use crate::views::error::{MAX_VIEW_SIZE, check_most, check_normalization};
use crate::views::pipeline::{Scratch, central_square, is_skinny, with_shorter_side};

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
    /// If `size` is 0 or above [`MAX_VIEW_SIZE`], or a standard deviation is not above 0.
    pub fn new(size: usize, normalization: Normalization) -> Result<Self, ViewError> {
        if size == 0 {
            return Err(ViewError::Size { at: "evaluation".into() });
        }
        check_most("evaluation", "size", size, MAX_VIEW_SIZE)?;
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
        self.render_to(image, scratch, out);
    }

    /// [`render`](Self::render); writes every place of `out`.
    pub(crate) fn render_to<P: Place>(&self, image: &Image, scratch: &mut Scratch, out: &mut [P]) {
        self.draw(image, scratch);
        ops::normalize_to(&scratch.planes, &self.normalization, out);
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
        if is_skinny(width, height) {
            let centre = central_square(width, height, self.size);
            resizer.part_of_resized(source, [height, width], centre, self.interpolation, interleaved);
            planes.load(self.size, self.size, interleaved);
            return;
        }
        let whole = CropBox::whole(image.width(), image.height());
        resizer.resize(source, whole, height, width, self.interpolation, interleaved);
        let resized = Interleaved::new(width, height, interleaved);
        let centre = central_square(width, height, self.size);
        resizer.resized_crop_of(resized, centre, self.size, self.size, self.interpolation, planes);
    }
}

#[cfg(test)]
mod tests {
    use super::EvalTransform;
    use crate::image::Image;
    use crate::ops::{Interpolation, Normalization};
    use crate::views::{Scratch, ViewError};

    fn gradient(width: usize, height: usize) -> Image {
        let pixels = (0..width * height).flat_map(|i| [(4 * (i % width)) as u8, (4 * (i / width)) as u8, 9]);
        Image::new(width, height, pixels.collect())
    }

    fn transform(size: usize) -> EvalTransform {
        EvalTransform::new(size, Normalization::CIFAR10).expect("valid")
    }

    #[test]
    fn an_image_of_the_target_size_is_left_alone() {
        let image = gradient(32, 32);
        assert_eq!(transform(32).render_image(&image, &mut Scratch::new()), image);
    }

    #[test]
    fn the_centre_of_the_resized_image_is_taken() {
        let transform = transform(14).with_resize(16, Interpolation::Bilinear);
        // Half size: column c of the view lies at 2 · (c + 1 + 4) + 0.5 of the 48 columns of the source.
        let view = transform.render_image(&gradient(48, 32), &mut Scratch::new());
        assert_eq!((view.width(), view.height()), (14, 14));
        for (index, pixel) in view.pixels().chunks(3).enumerate() {
            let (column, row) = (index % 14, index / 14);
            assert_eq!(pixel, [8 * (column as u8 + 5) + 2, 8 * (row as u8 + 1) + 2, 9]);
        }
    }

    /// 1 x 100,000 pixels took 19.7 GB, because all of it was enlarged before the centre was cut.
    #[test]
    fn of_a_skinny_image_only_the_centre_is_resized() {
        let (width, mut scratch) = (100_000, Scratch::new());
        let image = Image::new(
            width,
            1,
            (0..width).flat_map(|i| [(i % 251) as u8, (i / 7 % 256) as u8, 9]).collect(),
        );
        let view = transform(224).render_image(&image, &mut scratch);
        assert_eq!((view.width(), view.height()), (224, 224));
        assert!(scratch.interleaved.capacity() <= 3 * 224 * 224);
        // The neighbourhood of the centre alone, resized as a whole, has the same middle.
        let near: Vec<u8> = image.pixels()[3 * 49_990..3 * 50_010].to_vec();
        let expected = transform(224).render_image(&Image::new(20, 1, near), &mut Scratch::new());
        for (got, want) in view.pixels().iter().zip(expected.pixels()) {
            assert!(got.abs_diff(*want) <= 1, "{got} for {want}");
        }
    }

    #[test]
    fn render_normalises() {
        let mut out = vec![0.0; 3 * 8 * 8];
        transform(8).render(&Image::new(50, 20, vec![255; 3000]), &mut Scratch::new(), &mut out);
        let white = (1.0 - 0.4914) / 0.2023;
        assert!(out[..64].iter().all(|x| (x - white).abs() < 1e-5));
    }

    #[test]
    fn a_size_of_0_is_an_error() {
        let error = EvalTransform::new(0, Normalization::CIFAR10).expect_err("no pixels");
        assert_eq!(error, ViewError::Size { at: "evaluation".into() });
    }
}
