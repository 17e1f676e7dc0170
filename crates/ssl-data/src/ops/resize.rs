use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::ops::Planes;

/// Pixels between the two passes of a resize, which goes down first: columns of the crop times rows of the result. Of views
/// of 224 pixels, only crops with 300,000 columns have more.
const MOST_ON_THE_WAY: usize = 1 << 26;

/// An image of three 8-bit channels.
type Source<'a> = TypedImageRef<'a, U8x3>;

/// A box inside an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropBox {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
}

impl CropBox {
    /// All of an image of `width` by `height` pixels.
    pub fn whole(width: usize, height: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

/// The filter of a resize. The first two widen where the image shrinks, that is, they are antialiased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Interpolation {
    /// The triangle, two pixels wide; torchvision's default.
    #[default]
    Bilinear,
    /// The cubic with a = −0.5, four pixels wide; the choice of SimCLR, BYOL and DINO.
    Bicubic,
    /// The triangle, two pixels wide at any scale: faster where the image shrinks, and aliased. What OpenCV's
    /// `INTER_LINEAR` and with it albumentations compute; torchvision's `antialias=False`.
    BilinearAliased,
}

/// Crops and resizes; keeps its buffers from one image to the next.
#[derive(Debug, Default)]
pub struct Resizer {
    inner: fast_image_resize::Resizer,
    resized: Vec<u8>,
}

impl Resizer {
    /// Cuts `crop` out of `image` and resizes it to `out_height` by `out_width`.
    ///
    /// Pixels outside of the box have no influence. The filter is separable, its weights are renormalised at the
    /// borders of the box, and values are rounded and clamped to 0..=255 after each of the two passes, as PIL does.
    /// torchvision `resized_crop`, with `antialias=True` but for [`Interpolation::BilinearAliased`].
    ///
    /// # Panics
    /// If the box is empty or reaches beyond the image, or a size of the output is 0.
    pub fn resized_crop(
        &mut self,
        image: &Image,
        crop: CropBox,
        out_height: usize,
        out_width: usize,
        interpolation: Interpolation,
        out: &mut Planes,
    ) {
        let source = Interleaved::new(image.width(), image.height(), image.pixels());
        self.resized_crop_of(source, crop, out_height, out_width, interpolation, out);
    }

    /// [`resized_crop`](Self::resized_crop) of pixels that are not an [`Image`].
    pub(crate) fn resized_crop_of(
        &mut self,
        source: Interleaved<'_>,
        crop: CropBox,
        out_height: usize,
        out_width: usize,
        interpolation: Interpolation,
        out: &mut Planes,
    ) {
        let mut resized = std::mem::take(&mut self.resized);
        self.resize(source, crop, out_height, out_width, interpolation, &mut resized);
        out.load(out_width, out_height, &resized);
        self.resized = resized;
    }

    /// As [`resized_crop`](Self::resized_crop), to interleaved pixels `[out_height, out_width, 3]`.
    pub(crate) fn resize(
        &mut self,
        source: Interleaved<'_>,
        crop: CropBox,
        out_height: usize,
        out_width: usize,
        interpolation: Interpolation,
        out: &mut Vec<u8>,
    ) {
        assert!(out_height > 0 && out_width > 0, "a resize to {out_width} x {out_height} pixels");
        let on_the_way = crop.width.saturating_mul(out_height);
        if on_the_way > MOST_ON_THE_WAY && crop.width > out_width && out_height > crop.height {
            return self.resize_wide(source, crop, [out_height, out_width], interpolation, out);
        }
        let [width, height, left, top, crop_width, crop_height, out_width, out_height] = [
            source.width,
            source.height,
            crop.left,
            crop.top,
            crop.width,
            crop.height,
            out_width,
            out_height,
        ]
        .map(|size| u32::try_from(size).expect("image sizes fit 32 bits"));
        out.resize(3 * out_width as usize * out_height as usize, 0);

        let source = Source::from_buffer(width, height, source.pixels).expect("an Image is whole");
        let source = TypedCroppedImage::new(source, left, top, crop_width, crop_height)
            .unwrap_or_else(|_| panic!("{crop:?} does not lie inside of {width} x {height} pixels"));
        self.fill(&source, [out_width, out_height], &options(interpolation), out);
    }

    /// The one call of the resizer, whose code is made anew for every type of images that it is called with.
    fn fill(
        &mut self,
        source: &TypedCroppedImage<'_, Source<'_>>,
        [width, height]: [u32; 2],
        options: &ResizeOptions,
        out: &mut [u8],
    ) {
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, out).expect("just resized to fit");
        self.inner.resize_typed(source, &mut target, options).expect("a box inside of the source");
    }
}

impl Resizer {
    /// [`resize`](Self::resize) of a very wide crop: first across, then down.
    fn resize_wide(
        &mut self,
        source: Interleaved<'_>,
        crop: CropBox,
        [out_height, out_width]: [usize; 2],
        interpolation: Interpolation,
        out: &mut Vec<u8>,
    ) {
        let mut narrow = Vec::new();
        self.resize(source, crop, crop.height, out_width, interpolation, &mut narrow);
        let whole = CropBox::whole(out_width, crop.height);
        let narrow = Interleaved::new(out_width, crop.height, &narrow);
        self.resize(narrow, whole, out_height, out_width, interpolation, out);
    }

    /// The part `part` of `source` resized as a whole to `height` by `width`, `[part.height, part.width, 3]`, without the rest.
    ///
    /// The weights of a pixel reach beyond the part, as they do in the whole. They differ from those by rounding of the
    /// box in float64 only.
    pub(crate) fn part_of_resized(
        &mut self,
        source: Interleaved<'_>,
        [height, width]: [usize; 2],
        part: CropBox,
        interpolation: Interpolation,
        out: &mut Vec<u8>,
    ) {
        let [source_width, source_height, part_width, part_height] =
            [source.width, source.height, part.width, part.height]
                .map(|size| u32::try_from(size).expect("image sizes fit 32 bits"));
        out.resize(3 * part.width * part.height, 0);
        let [x_scale, y_scale] = [source.width as f64 / width as f64, source.height as f64 / height as f64];
        // Rounding must not push the box over the edge.
        let (left, top) = (part.left as f64 * x_scale, part.top as f64 * y_scale);
        let box_width = (part.width as f64 * x_scale).min(source.width as f64 - left);
        let box_height = (part.height as f64 * y_scale).min(source.height as f64 - top);
        let whole = Source::from_buffer(source_width, source_height, source.pixels);
        let whole = whole.expect("an Image is whole");
        let source = TypedCroppedImage::new(whole, 0, 0, source_width, source_height).expect("all of it");
        let options = options(interpolation).crop(left, top, box_width, box_height);
        self.fill(&source, [part_width, part_height], &options, out);
    }
}

fn options(interpolation: Interpolation) -> ResizeOptions {
    let algorithm = match interpolation {
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::BilinearAliased => ResizeAlg::Interpolation(FilterType::Bilinear),
    };
    ResizeOptions::new().resize_alg(algorithm).use_alpha(false)
}

/// Borrowed interleaved pixels, `[height, width, 3]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interleaved<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> Interleaved<'a> {
    pub(crate) fn new(width: usize, height: usize, pixels: &'a [u8]) -> Self {
        Self { width, height, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::{CropBox, Interpolation, Resizer};
    use crate::image::Image;
    use crate::ops::Planes;

    /// Resizes a square image to `to` by `to` pixels and returns the first channel.
    fn resized(from: usize, pixel: impl Fn(usize, usize) -> u8, to: usize, filter: Interpolation) -> Vec<u8> {
        let places = (0..from * from).map(|place| pixel(place / from, place % from));
        let image = Image::new(from, from, places.flat_map(|value| [value; 3]).collect());
        let mut out = Planes::default();
        Resizer::default().resized_crop(&image, CropBox::whole(from, from), to, to, filter, &mut out);
        out.to_image().pixels().iter().copied().step_by(3).collect()
    }

    #[test]
    fn only_the_aliased_filter_overlooks_pixels_of_an_image_that_shrinks() {
        // An output pixel lies between the third and fourth of eight pixels.
        let read = |place: usize| matches!(place % 8, 3 | 4);
        let unseen = |row: usize, column: usize| if read(row) && read(column) { 0 } else { 255 };
        assert_eq!(resized(32, unseen, 4, Interpolation::BilinearAliased), [0; 16]);
        assert!(resized(32, unseen, 4, Interpolation::Bilinear).iter().all(|&value| value > 128));
    }

    #[test]
    fn both_triangles_agree_on_an_image_that_grows() {
        let any = |row: usize, column: usize| (37 * row + 101 * column) as u8;
        let [plain, aliased] = [Interpolation::Bilinear, Interpolation::BilinearAliased];
        assert_eq!(resized(8, any, 20, plain), resized(8, any, 20, aliased));
    }
}
