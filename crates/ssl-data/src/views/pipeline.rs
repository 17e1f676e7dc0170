use crate::image::Image;
use crate::ops::{self, BlurBuffers, CropBox, Interpolation, Normalization, Planes, Resizer};
use crate::rng::SampleKey;
use crate::views::error::{check_normalization, check_views};
use crate::views::random::{self, Jitter};
use crate::views::{OpConfig, ViewConfig, ViewError};

/// The checked views of a recipe, ready to render.
///
/// Views are numbered through all blocks: with blocks of `count` 2 and 6, views 0 and 1 come from the first block.
/// What view `v` of a sample looks like depends on the image, the [`SampleKey`] and `v` alone.
#[derive(Clone, Debug)]
pub struct Views {
    blocks: Vec<ViewConfig>,
    normalization: Normalization,
}

impl Views {
    /// Checks `blocks` and `normalization`.
    ///
    /// # Errors
    /// The first declaration that cannot be rendered; see [`ViewError`].
    pub fn new(blocks: &[ViewConfig], normalization: Normalization) -> Result<Self, ViewError> {
        check_views(blocks)?;
        check_normalization(&normalization)?;
        Ok(Self { blocks: blocks.to_vec(), normalization })
    }

    /// Number of views of an image, over all blocks; at least 1.
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.count).sum()
    }

    /// Width and height of view `view` in pixels.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn size(&self, view: usize) -> usize {
        self.block(view).size
    }

    /// Writes view `view` of `image` to `out`: normalised values, `[3, size, size]`.
    ///
    /// `scratch` may come from any other image, view or recipe; with a reused one nothing big is allocated.
    ///
    /// # Panics
    /// If there is no such view, or `out` is not `3 · size · size` long.
    pub fn render(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.draw(image, key, view, scratch);
        ops::normalize(&scratch.planes, &self.normalization, out);
    }

    /// View `view` of `image` before normalisation.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn render_image(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch) -> Image {
        self.draw(image, key, view, scratch);
        scratch.planes.to_image()
    }

    fn block(&self, view: usize) -> &ViewConfig {
        let mut first = 0;
        let block = self.blocks.iter().find(|block| {
            first += block.count;
            view < first
        });
        block.unwrap_or_else(|| panic!("view {view} of {}", self.len()))
    }

    fn draw(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch) {
        let ViewConfig { size, ops, .. } = self.block(view);
        let mut canvas = Canvas { image, scratch, drawn: false, size: *size };
        if !ops.iter().any(|op| matches!(op, OpConfig::RandomResizedCrop { .. } | OpConfig::CenterCrop)) {
            canvas.resize(*size, *size, Interpolation::Bilinear);
        }
        for (index, op) in ops.iter().enumerate() {
            canvas.apply(op, &mut key.generator(view, index));
        }
        canvas.planes();
    }
}

/// Working memory of [`Views`] and [`EvalTransform`](crate::EvalTransform), one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) planes: Planes,
    pub(super) resizer: Resizer,
    pub(super) interleaved: Vec<u8>,
    blur: BlurBuffers,
}

impl Scratch {
    /// Empty; the first views make it grow.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A view while it is being made: the untouched image until the first operation, then planes.
struct Canvas<'a> {
    image: &'a Image,
    scratch: &'a mut Scratch,
    /// Whether the planes hold the view, not yet the image.
    drawn: bool,
    /// Width and height of the finished view.
    size: usize,
}

impl Canvas<'_> {
    fn apply(&mut self, op: &OpConfig, generator: &mut crate::rng::Generator) {
        match *op {
            OpConfig::RandomResizedCrop { scale, ratio, interpolation } => {
                let (width, height) = self.dimensions();
                let crop = random::crop_box(width, height, scale, ratio, generator);
                self.resized_crop(crop, self.size, self.size, interpolation);
            }
            OpConfig::HorizontalFlip { p } if generator.chance(p) => ops::horizontal_flip(self.planes()),
            OpConfig::ColorJitter { p, brightness, contrast, saturation, hue } if generator.chance(p) => {
                let strengths = [brightness, contrast, saturation, hue];
                random::jitter(strengths, generator).for_each(|step| jitter(self.planes(), step));
            }
            OpConfig::Grayscale { p } if generator.chance(p) => ops::grayscale(self.planes()),
            OpConfig::GaussianBlur { p, sigma, kernel_size } if generator.chance(p) => {
                let sigma = generator.uniform(sigma[0], sigma[1]);
                self.blur(kernel_size.unwrap_or(default_kernel_size(self.size)), sigma);
            }
            OpConfig::Solarize { p, threshold } if generator.chance(p) => {
                ops::solarize(self.planes(), threshold);
            }
            OpConfig::Resize { size, interpolation } => {
                let (width, height) = self.dimensions();
                let (width, height) = with_shorter_side(width, height, size);
                self.resize(width, height, interpolation);
            }
            OpConfig::CenterCrop => self.center_crop(),
            OpConfig::HorizontalFlip { .. }
            | OpConfig::ColorJitter { .. }
            | OpConfig::Grayscale { .. }
            | OpConfig::GaussianBlur { .. }
            | OpConfig::Solarize { .. } => {}
        }
    }

    fn dimensions(&self) -> (usize, usize) {
        if self.drawn {
            (self.scratch.planes.width(), self.scratch.planes.height())
        } else {
            (self.image.width(), self.image.height())
        }
    }

    fn planes(&mut self) -> &mut Planes {
        if !self.drawn {
            self.scratch.planes.load(self.image.width(), self.image.height(), self.image.pixels());
            self.drawn = true;
        }
        &mut self.scratch.planes
    }

    fn blur(&mut self, kernel_size: usize, sigma: f64) {
        self.planes();
        let Scratch { planes, blur, .. } = &mut *self.scratch;
        ops::gaussian_blur(planes, kernel_size, sigma, blur);
    }

    fn center_crop(&mut self) {
        let (width, height) = self.dimensions();
        self.resized_crop(
            central_square(width, height, self.size),
            self.size,
            self.size,
            Interpolation::Bilinear,
        );
    }

    fn resize(&mut self, width: usize, height: usize, interpolation: Interpolation) {
        let (from_width, from_height) = self.dimensions();
        self.resized_crop(CropBox::whole(from_width, from_height), width, height, interpolation);
    }

    fn resized_crop(&mut self, crop: CropBox, width: usize, height: usize, interpolation: Interpolation) {
        let Scratch { planes, resizer, interleaved, .. } = &mut *self.scratch;
        if self.drawn {
            planes.store(interleaved);
            let source = ops::Interleaved::new(planes.width(), planes.height(), interleaved);
            resizer.resized_crop_of(source, crop, height, width, interpolation, planes);
        } else {
            resizer.resized_crop(self.image, crop, height, width, interpolation, planes);
        }
        self.drawn = true;
    }
}

fn jitter(planes: &mut Planes, step: Jitter) {
    match step {
        Jitter::Brightness(factor) => ops::adjust_brightness(planes, factor),
        Jitter::Contrast(factor) => ops::adjust_contrast(planes, factor),
        Jitter::Saturation(factor) => ops::adjust_saturation(planes, factor),
        Jitter::Hue(shift) => ops::adjust_hue(planes, shift),
    }
}

/// A tenth of the view, made odd.
fn default_kernel_size(size: usize) -> usize {
    (size / 10) | 1
}

/// Width and height after a resize of the shorter side to `size`; the longer side is rounded down, as torchvision's.
pub(super) fn with_shorter_side(width: usize, height: usize, size: usize) -> (usize, usize) {
    if width <= height { (size, size * height / width) } else { (size * width / height, size) }
}

/// The central `size` by `size` pixels, or the largest central square of a smaller image.
pub(super) fn central_square(width: usize, height: usize, size: usize) -> CropBox {
    let size = size.min(width).min(height);
    let offset = |total: usize| ((total - size) as f64 / 2.0).round_ties_even() as usize;
    CropBox { top: offset(height), left: offset(width), height: size, width: size }
}
